"""What the job manager of many jobs asks of the pool: attempts, sources that come and go, searches, limits."""

from typing import Any

import pytest

from actors.core.pool.entries import ENDED_JOBS_MAX
from actors.core.pool.pool import HISTORY_S_MAX, NAMED_MAX, PoolInbox, PoolState
from actors.core.pool.source_search import AT_ONCE_MAX, SEARCH_WAIT_S
from protocol.messages import (
    ContributorsListed,
    DispatcherReady,
    JobClosed,
    JobEnded,
    JobNoted,
    JobProgressed,
    LimitJob,
    Message,
    MirrorsNamed,
    OfferSource,
    PeerHistoryLoaded,
    ProcessReady,
    ResendState,
    SearchEnded,
    SearchHit,
    SessionChanged,
    SourceDisabled,
    SourceFound,
    SourceJoined,
    SourceNamed,
    SourcePreferred,
    SourcesExpected,
    StartDispatcher,
    StartJob,
    StartSearch,
    StartWorker,
    StopJob,
    StopWorker,
    Ticked,
    WorkerReady,
)
from protocol.messages.addresses import JOB_MANAGER, POOL, SESSION, Post
from tests.actors.core.pool.test_pool import asked as asked_of
from tests.specs import changed

DISPATCHER = "hub/dispatcher-1"


def asked(sources: int = 1, *, term: str = "", private_ok: bool = True, **more: Any) -> StartJob:
    return changed(asked_of(1, sources), watcher=JOB_MANAGER, term=term, private_ok=private_ok, **more)


def tell(pool: PoolState, *messages: PoolInbox) -> list[Post]:
    return [post for message in messages for post in pool.handle(message, now_s=0.0)]


def to(posts: list[Post], address: str) -> list[Message]:
    return [post.message for post in posts if post.to == address]


def running(*urls: str) -> PoolState:
    pool = PoolState(("fetch-1",), name_hash=len)
    tell(pool, asked(len(urls)), *(OfferSource(job=1, url=url) for url in urls), DispatcherReady(job=1))
    return pool


def found(number: int, url: str, size_bytes: int = -1) -> SourceFound:
    return SourceFound(job=1, source=number, url=url, size_bytes=size_bytes)


def contributors(request: int = 0) -> ContributorsListed:
    return ContributorsListed(job=1, request=request, firsts=(0,), stops=(4,), owners=(0,), last=True)


def test_the_watcher_hears_of_every_source_with_its_number() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(2))
    offers = [OfferSource(job=1, url="http://a/f"), OfferSource(job=1, url="http://a/f")]
    assert to(tell(pool, *offers), JOB_MANAGER) == [found(0, "http://a/f"), found(1, "http://a/f")]
    late = to(tell(pool, OfferSource(job=1, url="http://b/f")), JOB_MANAGER)
    assert late == [found(2, "http://b/f")]


def test_a_source_that_is_offered_once_more_is_no_second_one() -> None:
    pool = running("http://a/f")
    for _ in range(3):
        posts = tell(pool, OfferSource(job=1, url="http://a/f"))
        assert [(post.to, post.message) for post in posts] == [(JOB_MANAGER, found(0, "http://a/f"))]


def test_a_running_job_that_is_asked_for_again_is_reported_again_and_not_begun_again() -> None:
    pool = running("http://a/f", "http://b/f")
    tell(pool, OfferSource(job=1, url="http://c/f"))
    posts = tell(pool, asked(3))
    assert to(posts, JOB_MANAGER) == [found(n, f"http://{c}/f") for n, c in enumerate("abc")]
    assert to(posts, DISPATCHER) == [ResendState(job=1)]
    again = tell(pool, *(OfferSource(job=1, url=f"http://{c}/f") for c in "abc"))
    assert {type(post.message) for post in again} == {SourceFound}, "its sources have their numbers"
    (new,) = to(tell(pool, OfferSource(job=1, url="http://d/f")), JOB_MANAGER)
    assert new == found(3, "http://d/f")


def test_a_job_manager_that_died_in_the_middle_of_offering_begins_again() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(3), OfferSource(job=1, url="http://a/f"), OfferSource(job=1, url="http://a/f"))
    tell(pool, asked(3))
    heard = to(tell(pool, *(OfferSource(job=1, url=f"http://{c}/f") for c in "aab")), JOB_MANAGER)
    assert heard == [found(0, "http://a/f"), found(1, "http://a/f"), found(2, "http://b/f")]


def test_how_a_job_ended_is_said_again_on_request() -> None:
    pool = running("http://a/f")
    tell(pool, contributors(), JobEnded(job=1, state="starved", reason="no source is left"), JobClosed(job=1))
    posts = tell(pool, asked(1))
    assert to(posts, JOB_MANAGER) == [contributors(), JobEnded(job=1, state="starved", reason="no source is left")]
    assert len(posts) == 2, "it does not begin again"


def test_how_a_job_ended_is_said_while_its_dispatcher_closes() -> None:
    pool = running("http://a/f")
    end = JobEnded(job=1, state="starved", reason="no source")
    tell(pool, contributors(), end)
    posts = tell(pool, asked(1))
    assert to(posts, JOB_MANAGER) == [found(0, "http://a/f"), contributors(), end]
    assert not to(posts, DISPATCHER), "it hears nothing any more"


def test_the_ends_of_a_number_of_jobs_are_kept_and_no_more() -> None:
    pool = PoolState(("fetch-1",))
    for job in range(ENDED_JOBS_MAX + 1):
        tell(pool, JobEnded(job=job, state="starved", reason="no source is left"))
    assert not any(isinstance(post.message, JobEnded) for post in tell(pool, asked_of(0)))
    assert [type(post.message) for post in tell(pool, asked_of(1))] == [JobEnded]


def test_a_source_offered_as_left_has_a_number_and_no_worker() -> None:
    pool = PoolState(("fetch-1",), name_hash=len)
    tell(pool, asked(2))
    posts = tell(pool, OfferSource(job=1, url="http://a/f", disabled=True), OfferSource(job=1, url="http://b/f"))
    assert to(posts, JOB_MANAGER) == [found(0, "http://a/f"), found(1, "http://b/f")]
    posts = tell(pool, DispatcherReady(job=1))
    assert [type(message) for message in to(posts, DISPATCHER)] == [SourceNamed, SourceDisabled, SourceNamed]
    assert to(posts, DISPATCHER)[1] == SourceDisabled(job=1, source=0, banned=False, detail=""), (
        "the answer goes to no one"
    )
    assert [message.source for message in to(posts, "fetch-1/root") if isinstance(message, StartWorker)] == [1]


def test_a_preferred_source_is_one_for_a_dispatcher_that_stands_and_for_one_that_comes() -> None:
    pool = PoolState(("fetch-1",), name_hash=len)
    tell(pool, asked(2), OfferSource(job=1, url="http://a/f"), OfferSource(job=1, url="http://b/f"))
    prefer = SourcePreferred(job=1, source=1, preferred=True)
    assert tell(pool, prefer) == []
    assert prefer in to(tell(pool, DispatcherReady(job=1)), DISPATCHER)
    assert to(tell(pool, prefer.but(preferred=False)), DISPATCHER) == [prefer.but(preferred=False)]
    assert tell(pool, prefer.but(source=9)) == []
    assert to(tell(pool, prefer.but(source=0)), DISPATCHER) == [prefer.but(source=0)]


def test_a_source_that_leaves_loses_its_worker_and_never_gets_another() -> None:
    pool = running("http://a/f", "http://b/f")
    left = SourceDisabled(job=1, source=0, banned=True, detail="banned by hand")
    posts = tell(pool, left)
    (sent,) = to(posts, DISPATCHER)
    assert isinstance(sent, SourceDisabled)
    assert (sent.source, sent.banned, sent.detail) == (0, True, "banned by hand")
    assert to(posts, "fetch-1/root") == [StopWorker(job=1, source=0)]
    assert tell(pool, left) == []
    assert tell(pool, WorkerReady(job=1, source=0, worker="fetch-1/worker-1-0")) == [], "its last word, too late"
    assert tell(pool, SourceDisabled(job=1, source=9, banned=False, detail="")) == []


def test_a_source_that_is_restored_gets_a_worker_under_its_number() -> None:
    pool = running("http://a/f", "http://b/f")
    left = SourceDisabled(job=1, source=0, banned=True, detail="banned by hand")
    assert tell(pool, left.but(restored=True)) == [], "it was never gone"
    tell(pool, left)
    posts = tell(pool, left.but(restored=True))
    assert to(posts, DISPATCHER) == [SourceDisabled(job=1, source=0, banned=False, detail="", restored=True)]
    (started,) = [each for process in ("fetch-1/root", "fetch-2/root") for each in to(posts, process)]
    assert isinstance(started, StartWorker)
    assert (started.source, started.url) == (0, "http://a/f")
    assert to(tell(pool, left), DISPATCHER), "it may leave again"


def test_mirrors_that_a_source_names_join_each_address_once_and_a_bounded_number() -> None:
    pool = running("http://a/f")
    posts = tell(pool, MirrorsNamed(job=1, source=0, urls=("http://b/f", "http://A/f", "http://b:80/f", "http://c/f")))
    assert to(posts, JOB_MANAGER) == [found(1, "http://b/f"), found(2, "http://c/f")]
    assert [type(each) for each in to(posts, DISPATCHER)][-1] is SourcesExpected
    many = tuple(f"http://m{number}/f" for number in range(NAMED_MAX + 1))
    assert len(to(tell(pool, MirrorsNamed(job=1, source=0, urls=many)), JOB_MANAGER)) == NAMED_MAX - 2
    assert tell(pool, MirrorsNamed(job=7, source=0, urls=many)) == [], "a job that has ended"


def test_a_source_that_left_may_be_offered_again_and_is_another_one_then() -> None:
    pool = running("http://a/f")
    tell(pool, SourceDisabled(job=1, source=0, banned=False, detail=""))
    posts = tell(pool, OfferSource(job=1, url="http://a/f"))
    assert to(posts, JOB_MANAGER) == [found(1, "http://a/f")]


def test_what_records_keep_of_a_public_name_is_reported_at_once_of_every_source() -> None:
    pool = PoolState(("fetch-1",), name_hash=len)
    posts = tell(pool, asked(1), OfferSource(job=1, url="http://ann:secret@a/f"), DispatcherReady(job=1))
    posts += tell(pool, OfferSource(job=1, url="http://later/f"))
    named = [message for message in to(posts, DISPATCHER) if isinstance(message, SourceNamed)]
    assert [(each.source, each.source_hash) for each in named] == [(0, len("http://a/f")), (1, len("http://later/f"))]


def test_a_limit_goes_to_the_dispatcher_or_waits_for_it() -> None:
    pool = running("http://a/f")
    limit = LimitJob(job=1, limit_bytes_s=5)
    assert tell(pool, limit) == [Post(to=DISPATCHER, message=limit)]
    early = PoolState(("fetch-1",))
    tell(early, asked(0))
    assert tell(early, limit) == []
    assert to(tell(early, DispatcherReady(job=1)), DISPATCHER) == [limit]
    again = tell(early, changed(asked(0), limit_bytes_s=9))
    assert to(again, DISPATCHER) == [LimitJob(job=1, limit_bytes_s=9), ResendState(job=1)]


@pytest.mark.parametrize("limit_bytes_s", [3, 5, 9])
def test_a_limit_that_differs_when_a_job_is_asked_for_again_goes_to_its_dispatcher(limit_bytes_s: int) -> None:
    pool = running("http://a/f")
    tell(pool, LimitJob(job=1, limit_bytes_s=5))
    limits = [LimitJob(job=1, limit_bytes_s=limit_bytes_s)] * (limit_bytes_s != 5)
    assert to(tell(pool, changed(asked(1), limit_bytes_s=limit_bytes_s)), DISPATCHER) == [*limits, ResendState(job=1)]


def test_both_the_job_and_its_source_must_allow_private_addresses() -> None:
    for job_ok, source_ok in ((True, False), (False, True), (True, True)):
        pool = PoolState(("fetch-1",))
        offered = OfferSource(job=1, url="http://a/f", private_ok=source_ok)
        posts = tell(pool, asked(1, private_ok=job_ok), offered, DispatcherReady(job=1))
        (wanted,) = [post.message for post in posts if isinstance(post.message, StartWorker)]
        assert wanted.private_ok == (job_ok and source_ok)


# -- sources and a term


def hit(peer: str, path: str = "m\\f.flac", size_bytes: int = 7) -> SearchHit:
    return SearchHit(
        search=1,
        peer=peer,
        path=path,
        size_bytes=size_bytes,
        slots_free=True,
        speed_bytes_s=0,
        queue_length=0,
        locked=False,
    )


def test_a_job_with_sources_and_a_term_does_not_wait_for_its_search() -> None:
    pool = PoolState(("fetch-1",))
    posts = tell(pool, asked(1, term="f"), OfferSource(job=1, url="slsk://bob/m%5Cf.flac"))
    assert {type(post.message) for post in posts} >= {StartDispatcher, StartSearch}
    tell(pool, DispatcherReady(job=1), hit("bob"), hit("eve"))
    found_now = to(tell(pool, SearchEnded(search=1, peers=2, refused="")), JOB_MANAGER)
    assert [message.source for message in found_now if isinstance(message, SourceFound)] == [1], "bob is there already"


def expected(posts: list[Post]) -> list[int]:
    return [message.count for message in to(posts, DISPATCHER) if isinstance(message, SourcesExpected)]


def test_a_job_with_sources_is_not_given_up_before_its_search_was_heard() -> None:
    pool = PoolState(("fetch-1",))
    posts = tell(pool, asked(1, term="f"), OfferSource(job=1, url="slsk://bob/m%5Cf.flac"))
    (begun,) = [post.message for post in posts if isinstance(post.message, StartDispatcher)]
    assert begun.start.source_count == 2, "one more than is known"
    assert expected(tell(pool, DispatcherReady(job=1), hit("bob"), hit("eve"), hit("sue"))) == []
    assert expected(tell(pool, SearchEnded(search=1, peers=3, refused=""))) == [3]


@pytest.mark.parametrize("early", [True, False])
def test_a_search_that_finds_no_user_ends_the_waiting(early: bool) -> None:
    pool = PoolState(("fetch-1",))
    ended, ready = SearchEnded(search=1, peers=0, refused="the search budget is spent"), DispatcherReady(job=1)
    tell(pool, asked(1, term="f"), OfferSource(job=1, url="slsk://bob/m%5Cf.flac"))
    assert expected(tell(pool, *((ended, ready) if early else (ready, ended)))) == [1]


def test_only_users_with_the_same_kind_of_file_join_one_that_is_there() -> None:
    pool = PoolState(("fetch-1",))
    wanted = asked(1, term="f", name="f.flac", size_bytes=7)
    tell(pool, wanted, OfferSource(job=1, url="slsk://bob/m%5Cf.flac"), DispatcherReady(job=1))
    hits = [hit(f"u{number}", "m\\f.mp3") for number in range(3)]
    tell(pool, *hits, hit("longer", size_bytes=8), hit("bob", "copy\\f.flac"), hit("eve", "x\\F.FLAC"))
    found_now = to(tell(pool, SearchEnded(search=1, peers=6, refused="")), JOB_MANAGER)
    assert [message.url for message in found_now if isinstance(message, SourceFound)] == ["slsk://eve/x%5CF.FLAC"]


def test_an_order_for_one_users_file_is_widened_only_by_files_called_like_it() -> None:
    pool = PoolState(("fetch-1",))
    wanted = asked(1, term="game", name="game (europe).rom", size_bytes=7, user="bob", widen=True)
    tell(pool, wanted, OfferSource(job=1, url="slsk://bob/m%5Cgame%20(europe).rom"), DispatcherReady(job=1))
    usa = [hit(f"u{number}", "m\\game (usa).rom") for number in range(3)]
    tell(pool, *usa, hit("eve", "x\\Game_[Europe].rom"), hit("bob", "m\\game (europe).rom"))
    found_now = to(tell(pool, SearchEnded(search=1, peers=5, refused="")), JOB_MANAGER)
    assert [message.url for message in found_now if isinstance(message, SourceFound)] == [
        "slsk://eve/x%5CGame_%5BEurope%5D.rom"
    ]


def test_files_of_the_size_that_are_called_otherwise_do_not_join_and_that_is_said() -> None:
    pool = PoolState(("fetch-1",))
    wanted = asked(1, term="game", name="game (europe).rom", size_bytes=7)
    tell(pool, wanted, OfferSource(job=1, url="slsk://bob/game%20(europe).rom"), DispatcherReady(job=1))
    tell(pool, hit("eve", "game (usa).rom"))
    (note,) = to(tell(pool, SearchEnded(search=1, peers=1, refused="")), JOB_MANAGER)
    assert isinstance(note, JobNoted)
    assert "1 files of its size are called otherwise" in note.text


def test_beside_a_mirror_only_files_join_that_are_called_like_the_order() -> None:
    pool = PoolState(("fetch-1",))
    wanted = asked(1, term="game", name="game (europe).rom", size_bytes=7)
    tell(pool, wanted, OfferSource(job=1, url="http://a/g"), DispatcherReady(job=1))
    tell(pool, hit("eve", "game (usa).rom"), hit("ann", "x\\Game_[Europe].rom"))
    assert came(tell(pool, SearchEnded(search=1, peers=2, refused=""))) == ["slsk://ann/x%5CGame_%5BEurope%5D.rom"]


def test_a_users_file_has_the_size_that_is_wanted_or_is_another_file() -> None:
    pool = PoolState(("fetch-1",))
    offers = [OfferSource(job=1, url=url) for url in ("slsk://bob/m%5Cf.flac", "http://a/f.flac")]
    sent = tell(pool, asked(2, size_bytes=7), *offers)
    assert [message.size_bytes for message in to(sent, JOB_MANAGER) if isinstance(message, SourceFound)] == [7, -1]


def test_a_job_with_sources_whose_search_finds_no_user_goes_on() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(1, term="f"), OfferSource(job=1, url="http://a/f"), DispatcherReady(job=1))
    posts = tell(pool, SearchEnded(search=1, peers=0, refused=""))
    assert [type(message) for message in to(posts, JOB_MANAGER)] == [JobNoted]


def test_who_was_banned_or_offered_as_left_is_not_found_again() -> None:
    pool = PoolState(("fetch-1",))
    offers = [OfferSource(job=1, url="slsk://bob/f.flac", disabled=True), OfferSource(job=1, url="slsk://eve/f.flac")]
    tell(pool, asked(2, term="f"), *offers, DispatcherReady(job=1))
    tell(pool, SourceDisabled(job=1, source=1, banned=True, detail=""), hit("bob"), hit("eve"), hit("sue"))
    posts = to(tell(pool, SearchEnded(search=1, peers=3, refused="")), JOB_MANAGER)
    assert [message.url for message in posts if isinstance(message, SourceFound)] == ["slsk://sue/m%5Cf.flac"]
    assert POOL not in {post.to for post in tell(pool)}


def test_an_address_that_is_none_is_no_reason_to_die() -> None:
    pool = running("slsk://", "http://b/f")
    sent = to(tell(pool, DispatcherReady(job=1)), DISPATCHER)
    (left,) = [message for message in sent if isinstance(message, SourceDisabled)]
    assert left.detail


def searches(posts: list[Post]) -> list[int]:
    return [post.message.search for post in posts if isinstance(post.message, StartSearch)]


def hunting(count: int) -> tuple[PoolState, list[int]]:
    """This number of jobs that wait for users, and the searches that are under way for them."""
    pool = PoolState(("fetch-1",))
    asks = [changed(asked(0, term="f"), job=job, waits=True) for job in range(1, count + 1)]
    return pool, searches(tell(pool, *asks))


def test_a_hundred_jobs_search_a_few_at_a_time_and_every_one_gets_its_turn() -> None:
    pool, under_way = hunting(100)
    done: list[int] = []
    now_s = 0.0
    while under_way:
        assert len(under_way) <= AT_ONCE_MAX
        done += under_way
        for search in under_way:
            pool.handle(SearchEnded(search=search, peers=0, refused=""), now_s=now_s)
        now_s += 0.5
        under_way = searches(pool.handle(Ticked(), now_s=now_s))
    assert len(done) == len(set(done)) == 100


def test_a_search_that_the_budget_refused_is_made_as_soon_as_it_allows() -> None:
    pool, (search,) = hunting(1)
    ended = SearchEnded(search=search, peers=0, refused="the search budget is spent", retry_after_s=7.0)
    for _ in range(5):
        (sent,) = to(pool.handle(ended, now_s=0.0), JOB_MANAGER)
        assert isinstance(sent, JobProgressed)
        assert (sent.state, sent.left_s, sent.reason) == ("waiting", -1.0, "the search budget is spent")
        assert searches(pool.handle(Ticked(), now_s=6.9)) == []
        (search,) = searches(pool.handle(Ticked(), now_s=7.0))
        ended = SearchEnded(search=search, peers=0, refused="the search budget is spent", retry_after_s=7.0)


def test_a_search_without_a_result_is_repeated_after_twice_the_time_up_to_an_hour() -> None:
    pool, (search,) = hunting(1)
    now_s = 0.0
    for wait_s in (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0):
        (sent,) = to(pool.handle(SearchEnded(search=search, peers=0, refused=""), now_s=now_s), JOB_MANAGER)
        assert isinstance(sent, JobProgressed)
        assert (sent.state, sent.size_bytes) == ("waiting", -1)
        assert searches(pool.handle(Ticked(), now_s=now_s + wait_s - 0.1)) == []
        now_s += wait_s
        (search,) = searches(pool.handle(Ticked(), now_s=now_s))


def test_only_a_new_session_is_asked_again_for_the_searches_that_the_old_one_had() -> None:
    pool, under_way = hunting(2)
    assert searches(tell(pool, ProcessReady(process="store", pid=2))) == []
    again = searches(tell(pool, ProcessReady(process="soulseek", pid=3)))
    assert (len(again), set(again) & set(under_way)) == (2, set())


@pytest.mark.parametrize("pending", [False, True])
def test_a_login_brings_the_next_search_at_once_unless_one_is_under_way(pending: bool) -> None:
    pool, (search,) = hunting(1)
    if not pending:
        tell(pool, SearchEnded(search=search, peers=0, refused=""))
    assert len(searches(tell(pool, SessionChanged(state="online", detail="", final=False)))) == (not pending)


# -- a search that is still under way


def came(posts: list[Post]) -> list[str]:
    return [message.url for message in to(posts, JOB_MANAGER) if isinstance(message, SourceFound)]


def test_a_file_of_known_size_is_begun_while_its_search_is_under_way_and_does_not_end_before_it() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(0, term="f", size_bytes=7))
    pool.handle(hit("longer", size_bytes=8), now_s=0.1)
    pool.handle(hit("bob"), now_s=0.2)
    assert came(pool.handle(Ticked(), now_s=0.9)) == []
    posts = pool.handle(Ticked(), now_s=1.5)
    assert came(posts) == ["slsk://bob/m%5Cf.flac"]
    (begun,) = [post.message for post in posts if isinstance(post.message, StartDispatcher)]
    assert begun.start.source_count == 2, "one more than is known"
    pool.handle(DispatcherReady(job=1), now_s=1.6)
    pool.handle(hit("eve"), now_s=2.0)
    posts = pool.handle(Ticked(), now_s=2.5)
    assert (came(posts), expected(posts)) == (["slsk://eve/m%5Cf.flac"], [])
    assert expected(pool.handle(SearchEnded(search=1, peers=3, refused=""), now_s=5.0)) == [2]


def test_a_file_of_any_size_that_one_user_has_waits_for_all_answers() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(0, term="f", size_bytes=-1), hit("bob"))
    assert came(pool.handle(Ticked(), now_s=4.0)) == []
    pool.handle(hit("eve", size_bytes=9), now_s=4.0)
    pool.handle(hit("sue", size_bytes=9), now_s=4.1)
    posts = pool.handle(SearchEnded(search=1, peers=3, refused=""), now_s=5.0)
    assert came(posts) == ["slsk://eve/m%5Cf.flac", "slsk://sue/m%5Cf.flac"]
    (begun,) = [post.message for post in posts if isinstance(post.message, StartDispatcher)]
    assert begun.start.source_count == 2, "the search is over: no more are expected"
    (note,) = [each.text for each in to(posts, JOB_MANAGER) if isinstance(each, JobNoted)]
    assert note == "found 2 users with f.flac (9 bytes); 1 other files"
    assert to(tell(pool, StopJob(job=1)), DISPATCHER) == [StopJob(job=1)], "which has its dispatcher now"


def test_a_file_of_any_size_is_begun_early_where_it_has_twice_the_users_of_any_other() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(0, term="f", size_bytes=-1), hit("bob"), hit("eve", size_bytes=9), hit("sue", size_bytes=9))
    assert came(pool.handle(Ticked(), now_s=0.9)) == []
    posts = pool.handle(Ticked(), now_s=1.1)
    assert came(posts) == ["slsk://eve/m%5Cf.flac", "slsk://sue/m%5Cf.flac"]
    (begun,) = [post.message for post in posts if isinstance(post.message, StartDispatcher)]
    assert begun.start.source_count == 3, "one more than is known"
    pool.handle(DispatcherReady(job=1), now_s=1.2)
    tell(pool, hit("ian", size_bytes=9), hit("ann"), hit("liz"), hit("may"))
    assert came(pool.handle(Ticked(), now_s=2.0)) == ["slsk://ian/m%5Cf.flac"], "it keeps to the file that was begun"


def test_of_two_files_as_common_one_is_begun_once_no_further_user_answers() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(0, term="f", size_bytes=-1), hit("bob"), hit("liz"), hit("eve", size_bytes=9))
    pool.handle(hit("sue", size_bytes=9), now_s=1.0)
    assert came(pool.handle(Ticked(), now_s=2.4)) == [], "another user answered a moment ago"
    pool.handle(hit("sue", "m\\g.flac"), now_s=2.4)  # the same one, again
    assert came(pool.handle(Ticked(), now_s=2.6)) == ["slsk://eve/m%5Cf.flac", "slsk://sue/m%5Cf.flac"]


def test_the_order_says_how_long_answers_to_its_first_search_are_awaited() -> None:
    pool = PoolState(("fetch-1",))
    (first,) = [post.message for post in tell(pool, asked(0, term="f", search_s=12.0)) if post.to == SESSION]
    assert isinstance(first, StartSearch)
    assert first.wait_s == 12.0
    tell(pool, hit("bob"), SearchEnded(search=1, peers=1, refused=""))
    again = [post.message for post in pool.handle(Ticked(), now_s=100.0) if isinstance(post.message, StartSearch)]
    assert [one.wait_s for one in again] == [SEARCH_WAIT_S]


def test_a_viewer_gets_the_login_and_the_users_so_far() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, changed(asked(0, term="f"), waits=False))

    def said(now_s: float) -> list[str]:
        posts = to(pool.handle(Ticked(), now_s=now_s), JOB_MANAGER)
        assert all(isinstance(each, JobProgressed) and each.state == "searching" for each in posts)
        return [each.reason for each in posts if isinstance(each, JobProgressed)]

    assert (said(0.5), said(1.0)) == (["logging in"], [])
    tell(pool, SessionChanged(state="online", detail="", final=False))
    assert said(1.5) == [""]
    tell(pool, hit("bob"), hit("eve", "other.flac"), hit("eve", "third.flac"))
    assert (said(2.0), said(2.5)) == (["2 users so far"], [])
    tell(pool, SearchEnded(search=1, peers=2, refused=""), hit("sue"))
    assert said(3.0) == [], "its dispatcher reports from now on"


def test_a_job_that_waits_says_nothing_of_its_search_under_way() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, changed(asked(0, term="f"), waits=True))
    assert to(pool.handle(Ticked(), now_s=0.5), JOB_MANAGER) == []


# -- what is known of a user from earlier jobs


ANN = "slsk://ann/m%5Cf.flac"


def history(peer: str = "ann", source: int = 0, job: int = 1) -> PeerHistoryLoaded:
    return PeerHistoryLoaded(
        job=job, source=source, peer=peer, rate_bytes_s=5e5, setup_s=0.5, offset_ok=False, stops_today=3
    )


def joined(posts: list[Post]) -> list[tuple[float, float, bool, int]]:
    return [
        (each.prior_rate_bytes_s, each.prior_setup_s, each.offset_ok, each.stops_today)
        for each in to(posts, DISPATCHER)
        if isinstance(each, SourceJoined)
    ]


def test_a_user_is_introduced_with_what_is_known_of_it_and_only_then() -> None:
    pool = running(ANN)
    assert joined(tell(pool, WorkerReady(job=1, source=0, worker="fetch-1/worker-1-0"))) == []
    strange = (history("ben"), history("aaa"), history(source=1), history(job=2))
    assert joined(tell(pool, *strange)) == [], "they are about others"
    assert joined(tell(pool, history())) == [(5e5, 0.5, False, 3)]
    assert joined(tell(pool, history())) == [], "it is known already"


def test_a_user_whose_history_comes_too_late_is_introduced_without_one() -> None:
    pool = running(ANN)
    tell(pool, WorkerReady(job=1, source=0, worker="fetch-1/worker-1-0"))
    assert joined(pool.handle(Ticked(), now_s=HISTORY_S_MAX)) == []
    assert joined(pool.handle(Ticked(), now_s=HISTORY_S_MAX + 0.1)) == [(0.0, 0.0, True, 0)]
    assert joined(tell(pool, history())) == [], "too late"


def test_a_mirror_is_introduced_without_a_history() -> None:
    pool = running("http://a/f")
    ready = WorkerReady(job=1, source=0, worker="fetch-1/worker-1-0")
    assert joined(tell(pool, ready)) == [(0.0, 0.0, True, 0)]


def test_a_user_may_be_banned_from_a_job_without_a_search() -> None:
    pool = running(ANN)
    posts = tell(pool, SourceDisabled(job=1, source=0, banned=True, detail="another file"))
    assert [type(message) for message in to(posts, "fetch-1/root")] == [StopWorker]


def test_users_that_a_later_search_finds_join_and_five_are_named() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(0, term="f"), hit("bob"), SearchEnded(search=1, peers=1, refused=""), DispatcherReady(job=1))
    (search,) = searches(pool.handle(Ticked(), now_s=1000.0))
    tell(pool, *(hit(f"u{number}").but(search=search) for number in range(6)))
    posts = to(tell(pool, SearchEnded(search=search, peers=6, refused="")), JOB_MANAGER)
    assert [message.source for message in posts if isinstance(message, SourceFound)] == [1, 2, 3, 4, 5, 6]
    (note,) = [message.text for message in posts if isinstance(message, JobNoted)]
    assert note.startswith("found 6 more users: ")
    assert note.endswith(" ...")
    assert note.count(", ") == 4
