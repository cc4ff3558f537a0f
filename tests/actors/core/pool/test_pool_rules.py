"""Rules of the pool to the letter: what is said of each source and to whom, deaths, and the bounds of searches."""

from typing import Any

import pytest

from actors.core.pool.pool import PoolInbox, PoolState
from actors.core.pool.source_search import SourceSearch
from protocol.messages import (
    ActorDied,
    ContributorsListed,
    DispatcherReady,
    JobClosed,
    JobEnded,
    JobNoted,
    JobProgressed,
    LoadPeerHistory,
    MirrorsNamed,
    OfferSource,
    PeerHistoryLoaded,
    ProcessLost,
    ProcessReady,
    RestoreSourceCounts,
    SearchEnded,
    SearchHit,
    SessionChanged,
    SourceDisabled,
    SourceJoined,
    SourceLost,
    StartDispatcher,
    StartSearch,
    StartWorker,
    Ticked,
    WorkerReady,
)
from protocol.messages.addresses import JOB_MANAGER, PEER_HISTORY, POOL, SESSION, Post
from protocol.model.job_spec import HttpOptions
from tests.actors.core.pool.test_pool_commands import asked, contributors, history, hit, searches, to

USER = "slsk://ann/m%5Cf.flac"
DISPATCHER = "hub/dispatcher-1"


def tell(pool: PoolState, *messages: PoolInbox, now_s: float = 0.0) -> list[Post]:
    return [post for message in messages for post in pool.handle(message, now_s=now_s)]


def kinds(posts: list[Post], kind: type) -> list[Any]:
    return [post.message for post in posts if isinstance(post.message, kind)]


def standing(*urls: str, **more: Any) -> PoolState:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(len(urls), **more), *(OfferSource(job=1, url=url) for url in urls), DispatcherReady(job=1))
    return pool


# -- what is said of a source


def test_each_field_with_which_a_user_is_introduced() -> None:
    pool = PoolState(("fetch-1",))
    known = RestoreSourceCounts(job=1, name=USER, bytes_stored=5, chunks=4, leases=3, stops=2)
    tell(pool, asked(1, size_bytes=700, attempt=1), known, OfferSource(job=1, url=USER))
    tell(pool, DispatcherReady(job=1), WorkerReady(job=1, source=0, worker="fetch-1/worker-1-0"))
    loaded = PeerHistoryLoaded(
        job=1, source=0, peer="ann", rate_bytes_s=9.0, setup_s=0.5, offset_ok=False, stops_today=6, odd=True
    )
    assert kinds(tell(pool, loaded), SourceJoined) == [
        SourceJoined(
            job=1,
            source=0,
            worker="fetch-1/worker-1-0",
            name=USER,
            host="ann",
            fallback_name="f.flac",
            prior_rate_bytes_s=9.0,
            advertised_bytes_s=0.0,
            peer="ann",
            path="m\\f.flac",
            size_bytes=700,
            prior_setup_s=0.5,
            offset_ok=False,
            stops_today=6,
            bytes_stored=5,
            chunks=4,
            leases=3,
            stops=2,
            odd=True,
        )
    ]


def test_a_mirror_of_which_nothing_is_known_is_introduced_with_nothing() -> None:
    pool = standing("http://a/f")
    (joined,) = kinds(tell(pool, WorkerReady(job=1, source=0, worker="fetch-1/worker-1-0")), SourceJoined)
    assert (joined.prior_rate_bytes_s, joined.prior_setup_s, joined.advertised_bytes_s) == (0.0, 0.0, 0.0)
    assert (joined.bytes_stored, joined.chunks, joined.leases, joined.stops, joined.stops_today) == (0, 0, 0, 0, 0)
    assert (joined.peer, joined.path, joined.size_bytes, joined.offset_ok, joined.odd) == ("", "", -1, True, False)


def test_a_user_of_whom_nothing_is_learned_in_two_seconds_is_taken_for_a_usual_one() -> None:
    pool = standing(USER)
    tell(pool, WorkerReady(job=1, source=0, worker="fetch-1/worker-1-0"))
    assert kinds(tell(pool, Ticked(), now_s=2.0), SourceJoined) == []
    (joined,) = kinds(tell(pool, Ticked(), now_s=2.1), SourceJoined)
    assert (joined.offset_ok, joined.stops_today, joined.prior_rate_bytes_s, joined.odd) == (True, 0, 0.0, False)
    assert tell(pool, history()) == [], "it comes too late"


def test_the_history_of_a_user_is_asked_for_by_the_name_of_its_file() -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(1, size_bytes=700))
    assert to(tell(pool, OfferSource(job=1, url=USER)), PEER_HISTORY) == [
        LoadPeerHistory(job=1, source=0, peer="ann", reply_to=POOL, name="f.flac", size_bytes=700)
    ]
    assert tell(pool, history(peer="bob")) == tell(pool, history(source=1)) == [], "of another one"


def test_each_field_with_which_a_worker_is_asked_for() -> None:
    http = HttpOptions(user_agent="x", netrc_file="/n", headers=("Cookie: secret", "A: b"))
    pool = standing("http://a/f", http=http, timeout_s=7.0)
    (start,) = kinds(tell(pool, OfferSource(job=1, url="http://b/f", private_ok=False)), StartWorker)
    assert start == StartWorker(job=1, source=1, url="http://b/f", private_ok=False, http=http, timeout_s=7.0)
    (start,) = kinds(tell(pool, MirrorsNamed(job=1, source=0, urls=("http://c/f",))), StartWorker)
    assert (start.source, start.private_ok, start.http) == (2, True, http.for_strangers())


def test_a_hundred_mirrors_are_named_for_a_job() -> None:
    pool = standing("http://a/f")
    urls = tuple(f"http://m{at}/f" for at in range(102))
    assert len(kinds(tell(pool, MirrorsNamed(job=1, source=0, urls=urls[:99])), StartWorker)) == 99
    assert len(kinds(tell(pool, MirrorsNamed(job=1, source=0, urls=urls)), StartWorker)) == 1
    assert tell(pool, MirrorsNamed(job=2, source=0, urls=urls)) == []


# -- deaths


def test_a_worker_that_fails_is_replaced_three_times_and_each_loss_is_said() -> None:
    pool = standing("http://a/f", "http://b/f")
    died = ActorDied(process="fetch-1", actor="worker-1-1", detail="boom")
    for number in range(5):
        posts = tell(pool, died)
        assert kinds(posts, SourceLost) == [SourceLost(job=1, source=1, detail="its worker failed: boom")]
        assert [each.source for each in kinds(posts, StartWorker)] == ([1] if number < 3 else [])
    assert tell(pool, ActorDied(process="fetch-1", actor="worker-1-2", detail="boom")) == []


@pytest.mark.parametrize(("restart_s", "waits"), [(-1.0, False), (0.0, True), (0.5, True), (0.6, False)])
def test_sources_wait_half_a_second_for_their_process(restart_s: float, waits: bool) -> None:
    pool = PoolState(("fetch-1", "fetch-2"))
    tell(pool, asked(2), *(OfferSource(job=1, url=f"http://{at}/f") for at in "ab"), DispatcherReady(job=1))
    posts = tell(pool, ProcessLost(process="fetch-1", detail="killed", restart_s=restart_s))
    assert kinds(posts, SourceLost) == [SourceLost(job=1, source=0, detail="fetch-1 died: killed")]
    assert [post.to for post in posts if isinstance(post.message, StartWorker)] == ([] if waits else ["fetch-2/root"])
    assert kinds(tell(pool, Ticked(), now_s=2.0), StartWorker) == []
    late = tell(pool, Ticked(), now_s=2.1)
    assert [post.to for post in late if isinstance(post.message, StartWorker)] == (["fetch-2/root"] if waits else [])
    assert tell(pool, Ticked(), now_s=3.0) == []


def test_a_process_that_is_back_has_the_load_of_its_sources() -> None:
    pool = PoolState(("fetch-1", "fetch-2"))
    tell(pool, asked(4), *(OfferSource(job=1, url=f"http://{at}/f") for at in "abcd"), DispatcherReady(job=1))
    tell(pool, ProcessLost(process="fetch-1", detail="killed", restart_s=0.1))
    posts = tell(pool, ProcessReady(process="fetch-1", pid=2))
    assert [each.source for each in kinds(posts, StartWorker)] == [0, 2]
    for number, process in ((4, "fetch-2/root"), (5, "fetch-1/root")):
        posts = tell(pool, OfferSource(job=1, url=f"http://{number}/f"))
        assert [post.to for post in posts if isinstance(post.message, StartWorker)] == [process]


def test_the_end_of_a_dispatcher_that_failed_is_said_with_its_fault() -> None:
    pool = standing("http://a/f")
    posts = tell(pool, ActorDied(process="hub", actor="dispatcher-1", detail="boom"))
    assert kinds(posts, JobEnded) == [JobEnded(job=1, state="failed", reason="our fault: boom")]
    assert {post.to for post in posts if isinstance(post.message, JobClosed)} == {
        "hub/root",
        "fetch-1/root",
        "hub/watchdog",
        "store/assembler",
    }


@pytest.mark.parametrize(("attempt", "closed"), [(0, []), (1, [SESSION])])
def test_queue_places_in_the_hub_that_died_are_given_up_with_the_first_user_only(
    attempt: int, closed: list[str]
) -> None:
    pool = PoolState(("fetch-1",))
    tell(pool, asked(3, attempt=attempt))
    found = [
        [post.to for post in tell(pool, OfferSource(job=1, url=url)) if isinstance(post.message, JobClosed)]
        for url in ("http://a/f", USER, "slsk://bob/m%5Cf.flac")
    ]
    assert found == [[], closed, []]


@pytest.mark.parametrize(("count", "kept"), [(4, 4), (5, 0)])
def test_lists_of_contributors_in_many_parts_are_said_once_only(count: int, kept: int) -> None:
    pool = standing("http://a/f")
    tell(pool, *[contributors()] * count, JobEnded(job=1, state="late", reason="x"), JobClosed(job=1))
    posts = tell(pool, asked(1))
    assert (len(kinds(posts, ContributorsListed)), len(kinds(posts, JobEnded))) == (kept, 1)


def test_the_ends_of_a_thousand_jobs_are_known() -> None:
    pool = PoolState(("fetch-1",))
    for number in range(1001):
        tell(pool, JobEnded(job=number, state="late", reason="x"))
    assert kinds(tell(pool, asked(1).but(job=1)), JobEnded)
    assert not kinds(tell(pool, asked(1).but(job=0)), JobEnded)


# -- searches


def begun(term: str = "words", **more: Any) -> tuple[PoolState, int]:
    pool = PoolState(("fetch-1",))
    (number,) = searches(tell(pool, asked(more.pop("sources", 0), term=term, **more)))
    return pool, number


def of_search(number: int, peer: str, **more: Any) -> SearchHit:
    return hit(peer).but(search=number, **more)


@pytest.mark.parametrize(("name", "called"), [("", "f.flac"), ("mine.flac", "mine.flac")])
def test_a_file_that_was_searched_for_has_the_name_of_its_order_else_its_own(name: str, called: str) -> None:
    pool, number = begun(name=name)
    tell(pool, of_search(number, "ann"), of_search(number, "bob"))
    posts = tell(pool, SearchEnded(search=number, peers=0, refused="", retry_after_s=0.0))
    (start,) = kinds(posts, StartDispatcher)
    assert (start.start.spec.name, start.start.source_count) == (called, 2)
    assert kinds(posts, JobNoted) == [JobNoted(job=1, text="found 2 users with f.flac (7 bytes)")]


def ended(number: int, *, refused: str = "", retry_after_s: float = 0.0) -> SearchEnded:
    return SearchEnded(search=number, peers=0, refused=refused, retry_after_s=retry_after_s)


@pytest.mark.parametrize(
    ("size", "refused", "words"),
    [
        (-1, "", "no user offers 'words'"),
        (0, "", "no user offers 'words' of 0 bytes"),
        (7, "", "no user offers 'words' of 7 bytes"),
        (7, "the budget is spent", "the budget is spent"),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
def test_a_search_without_a_user_says_what_was_looked_for(size: int, refused: str, words: str, waits: bool) -> None:
    pool, number = begun(size_bytes=size, waits=waits)
    posts = to(tell(pool, ended(number, refused=refused)), JOB_MANAGER)
    waiting = JobProgressed(
        job=1, state="waiting", stored_bytes=0, size_bytes=-1, rate_bytes_s=0.0, left_s=-1.0, reason=words
    )
    assert posts == [waiting if waits else JobEnded(job=1, state="starved", reason=words)]


def test_eight_jobs_search_at_a_time_and_the_longest_overdue_go_first() -> None:
    search = SourceSearch()
    numbers = [len(search.begin(job, f"w{job}", -1)) for job in range(10)]
    assert numbers == [1] * 8 + [0] * 2
    assert search.tick(0.0) == []
    for number in (1, 2):
        search.ended(ended(number), now_s=0.0)
    terms = [post.message.term for post in search.tick(60.0) if isinstance(post.message, StartSearch)]
    assert terms == ["w8", "w9"], "those that never had a turn"


def again_after(search: SourceSearch, now_s: float) -> list[bool]:
    """Whether a search is made just before this time, and at it."""
    return [bool(search.tick(at_s)) for at_s in (now_s - 0.001, now_s)]


def test_a_search_without_a_file_is_made_again_after_a_minute_then_twice_that_up_to_an_hour() -> None:
    search = SourceSearch()
    search.begin(1, "words", -1)
    now_s = 0.0
    for number, wait_s in enumerate((60, 120, 240, 480, 960, 1920, 3600, 3600), 1):
        search.ended(ended(number), now_s=now_s)
        now_s += wait_s
        assert again_after(search, now_s) == [False, True], wait_s


@pytest.mark.parametrize(("retry_s", "wait_s"), [(0.0, 90.0), (89.0, 90.0), (400.0, 400.0)])
def test_a_file_that_was_found_is_searched_for_again_for_more_users(retry_s: float, wait_s: float) -> None:
    search = SourceSearch()
    search.begin(1, "words", 7)
    search.hit(of_search(1, "ann"), now_s=0.0)
    chosen = search.ended(ended(1), now_s=0.0)
    assert chosen is not None
    assert [each.peer for each in chosen.users] == ["ann"]
    assert again_after(search, 60.0) == [False, True]
    assert search.ended(ended(2, retry_after_s=retry_s), now_s=100.0) is None, "no further user"
    assert again_after(search, 100.0 + wait_s) == [False, True]


def test_a_refused_search_is_made_when_it_may_be_and_is_no_miss() -> None:
    search = SourceSearch()
    search.begin(1, "words", -1, wait_s=9.0)
    search.ended(ended(1, refused="spent", retry_after_s=7.0), now_s=0.0)
    assert again_after(search, 7.0) == [False, True]
    search.ended(ended(2), now_s=10.0)
    assert again_after(search, 70.0) == [False, True]


@pytest.mark.parametrize(
    ("size", "users", "now_s", "clear"),
    [
        (7, {"m": 1}, 0.999, False),
        (7, {"m": 1}, 1.0, True),
        (-1, {"m": 1}, 9.0, False),
        (-1, {"m": 2}, 1.0, True),
        (-1, {"m": 2, "n": 1}, 1.0, True),
        (-1, {"m": 3, "n": 2}, 1.499, False),
        (-1, {"m": 3, "n": 2}, 1.5, True),
        (-1, {"m": 1, "n": 1}, 9.0, False),
    ],
)
def test_a_file_is_begun_early_where_it_is_clear_which_one_it_is(
    size: int, users: dict[str, int], now_s: float, clear: bool
) -> None:
    search = SourceSearch()
    search.begin(1, "words", size)
    for length, (folder, count) in enumerate(users.items(), 7):
        for number in range(count):
            path = f"x\\{folder}.flac"
            search.hit(hit(f"{folder}{number}", path, length).but(search=1), now_s=0.0)
    found = search.early(now_s=now_s)
    assert bool(found) is clear
    if clear:
        assert len(found[0].users) == max(users.values())
        assert search.early(now_s=now_s) == [], "no further user came"


def test_the_users_that_answered_a_search_under_way_are_counted_once_each() -> None:
    search = SourceSearch()
    search.begin(1, "words", -1)
    assert search.answered(1) == search.answered(2) == 0
    for peer in ("ann", "bob", "ann"):
        search.hit(hit(peer, f"{peer}.flac").but(search=1), now_s=0.0)
    assert (search.answered(1), search.job_of(1), search.job_of(2)) == (2, 1, None)
    search.ended(ended(1), now_s=0.0)
    assert (search.answered(1), search.job_of(1)) == (0, None)


def test_64_users_become_sources_of_a_job_and_then_it_is_not_searched_for_any_more() -> None:
    search = SourceSearch()
    search.begin(1, "words", 7)
    taken = 0
    for number in range(1, 9):
        for user in range(40):
            search.hit(hit(f"u{number}-{user}").but(search=number), now_s=0.0)
        chosen = search.ended(ended(number), now_s=1000.0 * number)
        taken += len(chosen.users) if chosen is not None else 0
        if not search.tick(1000.0 * number + 90.0):
            break
    assert taken == 64
    assert search.at_once(2) == []


@pytest.mark.parametrize(("state", "ends"), [("offline", True), ("refused", True), ("connecting", False)])
def test_a_login_that_is_gone_for_good_ends_the_jobs_that_have_no_file(state: str, ends: bool) -> None:
    changed = SessionChanged(state=state, detail="wrong password", final=True)
    pool, _ = begun()
    gone = [JobEnded(job=1, state="starved", reason="wrong password")]
    assert kinds(tell(pool, changed), JobEnded) == (gone if ends else [])
    pool = PoolState(("fetch-1",))
    tell(pool, changed)
    assert kinds(tell(pool, asked(0, term="words")), JobEnded) == (gone if ends else [])
    assert kinds(tell(standing("http://a/f"), changed), JobEnded) == []


def test_an_address_that_is_none_is_disabled_with_its_reason() -> None:
    pool = standing("http://a/f")
    (left,) = kinds(tell(pool, OfferSource(job=1, url="slsk://ann")), SourceDisabled)
    assert (left.source, left.banned, left.restored) == (1, False, False)
    assert left.detail


def test_the_login_is_said_to_a_dispatcher_that_comes_where_its_job_has_users_and_it_is_known() -> None:
    online = SessionChanged(state="online", detail="", final=False)
    for url, known, said in ((USER, True, [online]), (USER, False, []), ("http://a/f", True, [])):
        pool = PoolState(("fetch-1",))
        tell(pool, *([online] if known else []), asked(1), OfferSource(job=1, url=url))
        posts = to(tell(pool, DispatcherReady(job=1)), DISPATCHER)
        assert [each for each in posts if each is None or isinstance(each, SessionChanged)] == said
