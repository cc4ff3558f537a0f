"""Which source is read in which process, and who hears when a worker or a process is gone."""

import pytest

from actors.core.pool.pool import WORKER_RESTARTS_MAX, PoolInbox, PoolState
from protocol.messages import (
    ActorDied,
    DispatcherReady,
    JobClosed,
    JobEnded,
    OfferSource,
    ProcessLost,
    ProcessReady,
    RestoreSourceCounts,
    SessionChanged,
    SourceDisabled,
    SourceFound,
    SourceJoined,
    SourceLost,
    SourceNamed,
    StartDispatcher,
    StartJob,
    StartWorker,
    StopJob,
    Ticked,
    WorkerReady,
)
from protocol.messages.addresses import Post
from tests.specs import changed, start_job


def posted(pool: PoolState, message: PoolInbox, *, now_s: float = 0.0) -> list[Post]:
    """What is posted; which sources there are goes to the watcher too, see below."""
    return [
        post for post in pool.handle(message, now_s=now_s) if not isinstance(post.message, SourceFound | SourceNamed)
    ]


def asked(job: int = 1, sources: int = 2) -> StartJob:
    return start_job(job=job, source_count=sources)


def running(urls: list[str]) -> tuple[PoolState, list[Post]]:
    """A job whose dispatcher stands, and the posts that want its workers."""
    pool = PoolState(("fetch-1", "fetch-2"))
    posted(pool, asked(sources=len(urls)))
    for url in urls:
        assert posted(pool, OfferSource(job=1, url=url)) == [], "workers come after the dispatcher"
    return pool, posted(pool, DispatcherReady(job=1))


def test_a_job_begins_with_its_dispatcher_alone() -> None:
    (post,) = posted(PoolState(("fetch-1",)), asked())
    assert post.to == "hub/root"
    assert isinstance(post.message, StartDispatcher)
    assert post.message.start.source_count == 2


def test_sources_are_spread_over_the_fetch_processes() -> None:
    _, posts = running([f"http://h{n}/f" for n in range(5)])
    assert [post.to for post in posts] == [f"fetch-{n}/root" for n in (1, 2, 1, 2, 1)]
    assert [post.message.source for post in posts if isinstance(post.message, StartWorker)] == [0, 1, 2, 3, 4]


def test_a_source_is_introduced_when_its_worker_stands_and_without_its_password() -> None:
    pool, _ = running(["http://ann:secret@Mirror.example:8080/pub/big%20file.iso?x=1"])
    (post,) = posted(pool, WorkerReady(job=1, source=0, worker="fetch-1/worker-1-0"))
    joined = post.message
    assert isinstance(joined, SourceJoined)
    assert post.to == "hub/dispatcher-1"
    assert "secret" not in repr(joined)
    assert (joined.host, joined.fallback_name) == ("mirror.example:8080", "big file.iso")


def test_a_source_may_join_a_running_job() -> None:
    pool, _ = running(["http://a/f"])
    (post,) = posted(pool, OfferSource(job=1, url="http://b/f"))
    assert (post.to, post.message) == (
        "fetch-2/root",
        StartWorker(job=1, source=1, url="http://b/f"),
    )


def test_a_worker_that_failed_is_replaced_a_few_times() -> None:
    pool, _ = running(["http://a/f"])
    died = ActorDied(process="fetch-1", actor="worker-1-0", detail="boom")
    for _ in range(WORKER_RESTARTS_MAX):
        lost, wanted = posted(pool, died)
        assert isinstance(lost.message, SourceLost)
        assert isinstance(wanted.message, StartWorker)
    (lost,) = posted(pool, died)
    assert isinstance(lost.message, SourceLost)


def test_a_job_whose_dispatcher_failed_ends_with_that_reason_and_leaves_nothing() -> None:
    pool, _ = running(["http://a/f", "http://b/f"])
    posts = posted(pool, ActorDied(process="hub", actor="dispatcher-1", detail="AssertionError: boom"))
    (ended,) = [post.message for post in posts if isinstance(post.message, JobEnded)]
    assert (ended.state, ended.reason) == ("failed", "our fault: AssertionError: boom")
    assert [post.to for post in posts if isinstance(post.message, JobClosed)] == [
        "hub/root",
        "fetch-1/root",
        "fetch-2/root",
        "hub/watchdog",
        "store/assembler",
    ]
    assert posted(pool, OfferSource(job=1, url="http://c/f")) == []


def of(posts: list[Post], kind: type) -> list[tuple[str, int]]:
    """Addressees and sources of the posts of one kind."""
    return [(post.to, post.message.source) for post in posts if isinstance(post.message, kind)]  # type: ignore[attr-defined]


def test_the_sources_of_a_process_lost_for_good_move_to_those_that_are_left() -> None:
    pool, _ = running(["http://a/f", "http://b/f", "http://c/f"])
    posts = posted(pool, ProcessLost(process="fetch-1", detail="killed by SIGKILL"))
    assert [source for _, source in of(posts, SourceLost)] == [0, 2]
    assert of(posts, StartWorker) == [("fetch-2/root", 0), ("fetch-2/root", 2)]
    posts = posted(pool, ProcessLost(process="fetch-2", detail="killed by SIGKILL"))
    assert [type(post.message) for post in posts] == [SourceLost] * 3, "no one is left to read them"
    assert posted(pool, ProcessLost(process="store", detail="")) == []


def test_the_sources_of_a_process_that_is_started_again_wait_for_it() -> None:
    pool, _ = running(["http://a/f", "http://b/f", "http://c/f"])
    lost = posted(pool, ProcessLost(process="fetch-1", detail="", restart_s=0.0), now_s=10.0)
    assert of(lost, SourceLost) == [("hub/dispatcher-1", 0), ("hub/dispatcher-1", 2)]
    assert of(lost, StartWorker) == []
    back = posted(pool, ProcessReady(process="fetch-1", pid=1), now_s=10.2)
    assert of(back, StartWorker) == [("fetch-1/root", 0), ("fetch-1/root", 2)]
    assert posted(pool, Ticked(), now_s=99.0) == []


def test_a_process_that_does_not_come_back_is_not_waited_for() -> None:
    pool, _ = running(["http://a/f", "http://b/f"])
    posted(pool, ProcessLost(process="fetch-1", detail="", restart_s=0.0), now_s=10.0)
    assert posted(pool, Ticked(), now_s=11.9) == []
    assert of(posted(pool, Ticked(), now_s=12.1), StartWorker) == [("fetch-2/root", 0)]


def test_a_late_restart_is_not_waited_for_and_the_process_takes_those_without_a_home() -> None:
    pool, _ = running(["http://a/f", "http://b/f"])
    lost = posted(pool, ProcessLost(process="fetch-1", detail="", restart_s=1.6))
    assert of(lost, StartWorker) == [("fetch-2/root", 0)]
    posted(pool, ProcessLost(process="fetch-2", detail=""))
    back = posted(pool, ProcessReady(process="fetch-1", pid=1))
    assert of(back, StartWorker) == [("fetch-1/root", 0), ("fetch-1/root", 1)]


def test_a_process_whose_death_a_new_hub_did_not_hear_of_makes_its_workers_again() -> None:
    pool, _ = running(["http://a/f"])
    posted(pool, WorkerReady(job=1, source=0, worker="fetch-1/worker-1-0"))
    posts = posted(pool, ProcessReady(process="fetch-1", pid=2))
    assert of(posts, SourceLost) == [("hub/dispatcher-1", 0)]
    assert of(posts, StartWorker) == [("fetch-1/root", 0)]


def test_a_new_store_or_session_is_reported_to_every_dispatcher() -> None:
    pool, _ = running(["http://a/f"])
    for process in ("store", "soulseek"):
        ready = ProcessReady(process=process, pid=1)
        assert posted(pool, ready) == [Post(to="hub/dispatcher-1", message=ready)]


def test_a_job_asked_for_again_begins_with_fetchers_that_know_nothing_of_it() -> None:
    pool = PoolState(("fetch-1", "fetch-2"))
    posts = posted(pool, asked().restarted(elapsed_s=4.0, resumed_bytes=7))
    assert [post.to for post in posts] == ["fetch-1/root", "fetch-2/root", "hub/root"]
    assert [type(post.message) for post in posts] == [JobClosed, JobClosed, StartDispatcher]
    wanted = posts[-1].message
    assert isinstance(wanted, StartDispatcher)
    assert (wanted.start.attempt, wanted.start.elapsed_s, wanted.start.resumed_bytes) == (1, 4.0, 7)


def test_what_a_source_had_given_when_the_hub_died_is_reported_with_it() -> None:
    pool = PoolState(("fetch-1",))
    posted(pool, asked(sources=2).restarted(elapsed_s=4.0, resumed_bytes=0))
    known = RestoreSourceCounts(job=1, name="http://a/f", bytes_stored=700, chunks=7, leases=3, stops=2)
    posted(pool, known)
    posted(pool, RestoreSourceCounts(job=2, name="http://b/f", bytes_stored=1, chunks=1, leases=1, stops=1))
    for url in ("http://ann:secret@a/f", "http://b/f"):
        posted(pool, OfferSource(job=1, url=url))
    posted(pool, DispatcherReady(job=1))
    joined = [posted(pool, WorkerReady(job=1, source=n, worker=f"fetch-1/worker-1-{n}"))[0].message for n in range(2)]
    assert all(isinstance(each, SourceJoined) for each in joined)
    given = [(each.bytes_stored, each.chunks, each.leases, each.stops) for each in joined]  # type: ignore[attr-defined]
    assert given == [(700, 7, 3, 2), (0, 0, 0, 0)]


def test_a_forgotten_job_frees_its_homes_and_hears_nothing_more() -> None:
    pool, _ = running(["http://a/f", "http://b/f"])
    assert [post.to for post in posted(pool, JobClosed(job=1))] == ["hub/root", "fetch-1/root", "fetch-2/root"]
    assert posted(pool, StopJob(job=1)) == []
    assert posted(pool, JobClosed(job=1)) == []
    assert posted(pool, OfferSource(job=1, url="http://a/f")) == []


def test_a_stop_goes_to_the_dispatcher() -> None:
    pool, _ = running(["http://a/f"])
    assert posted(pool, StopJob(job=1)) == [Post(to="hub/dispatcher-1", message=StopJob(job=1))]
    assert posted(pool, StopJob(job=2)) == []


USER = "slsk://ann/m%5Cf.flac"
ONLINE = SessionChanged(state="online", detail="", final=False)
REFUSED = SessionChanged(state="refused", detail="wrong password", final=True)


def test_the_state_of_the_login_reaches_jobs_of_users_that_stand_or_come_and_no_others() -> None:
    web, _ = running(["http://a/f"])
    assert posted(web, ONLINE) == []
    pool = PoolState(("fetch-1",))
    posted(pool, asked(sources=1))
    posted(pool, OfferSource(job=1, url=USER))
    assert posted(pool, REFUSED) == [], "no dispatcher is there yet"
    assert Post(to="hub/dispatcher-1", message=REFUSED) in posted(pool, DispatcherReady(job=1))
    assert posted(pool, ONLINE) == [Post(to="hub/dispatcher-1", message=ONLINE)]


def test_the_first_user_that_joins_a_job_which_stands_brings_the_state_of_the_login() -> None:
    """Else the job waits for a place in a queue that no one asks for: to a quick dispatcher each user comes late."""
    pool, _ = running(["http://a/f"])
    posted(pool, REFUSED)
    state = Post(to="hub/dispatcher-1", message=REFUSED)
    assert posted(pool, OfferSource(job=1, url=USER)).count(state) == 1
    assert state not in posted(pool, OfferSource(job=1, url="slsk://bob/m%5Cf.flac")), "it is there already"


@pytest.mark.parametrize("waits", [True, False])
def test_a_search_without_a_login_ends_its_job_unless_that_waits_for_one(waits: bool) -> None:
    pool = PoolState(("fetch-1",))
    posted(pool, REFUSED)
    posts = posted(pool, changed(start_job(job=1, source_count=0), term="some words", waits=waits))
    ended = [(post.message.state, post.message.reason) for post in posts if isinstance(post.message, JobEnded)]
    assert ended == ([] if waits else [("starved", "wrong password")])


def test_a_search_that_is_stopped_before_it_has_found_a_file_ends_at_once() -> None:
    pool = PoolState(("fetch-1",))
    posted(pool, changed(start_job(job=1, source_count=0), term="some words"))
    posts = posted(pool, StopJob(job=1))
    assert [post.message.state for post in posts if isinstance(post.message, JobEnded)] == ["interrupted"]
    running_job, _ = running(["http://a/f"])
    assert posted(running_job, StopJob(job=1)) == [Post(to="hub/dispatcher-1", message=StopJob(job=1))]


def test_queue_places_of_an_earlier_hub_are_given_up_with_the_first_user_of_a_job_that_goes_on() -> None:
    for attempt, closed in ((0, 0), (1, 1)):
        pool = PoolState(("fetch-1",))
        posted(pool, changed(start_job(job=1, source_count=2), attempt=attempt))
        posts = [
            *posted(pool, OfferSource(job=1, url=USER)),
            *posted(pool, OfferSource(job=1, url="slsk://bob/m%5Cf.flac")),
        ]
        assert [post.to for post in posts if isinstance(post.message, JobClosed)] == ["soulseek/session"] * closed


def test_what_comes_of_a_job_or_a_worker_that_is_not_here_changes_nothing() -> None:
    pool, _ = running(["http://a/f"])
    assert posted(pool, DispatcherReady(job=7)) == []
    assert posted(pool, StopJob(job=7)) == []
    assert posted(pool, ActorDied(process="fetch-1", actor="worker-7-0", detail="boom")) == []


@pytest.mark.parametrize("source", [-1, 1, 2])
@pytest.mark.parametrize("restored", [False, True])
def test_to_disable_or_restore_a_source_that_the_job_does_not_have_changes_nothing(source: int, restored: bool) -> None:
    pool, _ = running(["http://a/f"])
    assert posted(pool, SourceDisabled(job=1, source=source, banned=False, detail="", restored=restored)) == []


def test_the_next_source_goes_where_the_fewest_are_left() -> None:
    pool, _ = running([f"http://h{at}/f" for at in range(2)])
    posted(pool, SourceDisabled(job=1, source=0, banned=False, detail=""))
    joined = [
        *posted(pool, OfferSource(job=1, url="http://h2/f")),
        *posted(pool, OfferSource(job=1, url="http://h3/f")),
    ]
    assert [post.to for post in joined] == ["fetch-1/root", "fetch-1/root"]


def test_a_worker_of_a_source_that_is_not_known_is_not_introduced() -> None:
    pool, _ = running(["http://a/f"])
    for source in (1, 2, 7):
        assert posted(pool, WorkerReady(job=1, source=source, worker="fetch-1/worker-1-7")) == []


@pytest.mark.parametrize("stands", [False, True])
def test_a_source_that_is_offered_as_left_is_said_to_be_so_once_its_dispatcher_stands(stands: bool) -> None:
    pool = PoolState(("fetch-1",))
    posted(pool, asked(sources=1))
    if stands:
        posted(pool, DispatcherReady(job=1))
    posts = posted(pool, OfferSource(job=1, url="http://a/f", disabled=True))
    left = SourceDisabled(job=1, source=0, banned=False, detail="")
    assert posts == [Post(to="hub/dispatcher-1", message=left)] * stands
