"""Live streams of a job and of a search, and commands to many jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace as changed
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.config.settings import READ_ONLY, ApiKey, LimitSettings
from protocol.http_api.gateway import GatewayInbox
from protocol.http_api.native import live, wishlist
from protocol.http_api.native.live import JobPicture
from protocol.messages import (
    CancelJob,
    CancelSearch,
    DeleteJob,
    EventOccurred,
    GetCounts,
    GetJob,
    HealthReported,
    ListWishes,
    PauseJob,
    ProcessLost,
    PutWish,
    RequestRefused,
    SearchEnded,
    SessionChanged,
    StartSearch,
    UpdateJob,
)
from protocol.model.job_policy import LimitWindow
from protocol.model.job_records import Wish
from protocol.model.job_views import RateSample
from tests.protocol.http_api.fake_daemon import Played, hits
from tests.protocol.http_api.rows import CHUNK, ID, counts_row, detail_row, job_row, source_row
from tests.protocol.http_api.serving import answered, open_settings, serving

ROOT = "/api/v0/multisource"
CHUNKS = 10


def eventually(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10.0
    while not is_so():
        assert time.monotonic() < deadline_s, "not so in time"
        time.sleep(0.005)


def events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    kind = ""
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def drawn(ranges: Iterable[list[int]], before: str = "?" * CHUNKS) -> str:
    """The map as a string, ``0`` to ``9`` by the source that has stored, ``a`` to ``j`` leased, ``.`` missing."""
    cells = list(before)
    for first, count, state, source in ranges:
        cells[first : first + count] = [
            "." if state == 0 else "abcdefghij"[source] if state == 1 else str(source)
        ] * count
    return "".join(cells)


def test_a_picture_begins_with_the_whole_and_goes_on_with_what_differs() -> None:
    shown = JobPicture()
    row = detail_row(source_row(), source_row(number=1, lease_first=-1, lease_stop=-1))
    whole = shown.update(row, [(0, 2, 0), (2, 5, 1)])
    assert drawn(whole["ranges"]) == "00111aaa.."
    assert whole["job"]["id"] == ID
    assert [source["number"] for source in whole["sources"]] == [0, 1]
    assert shown.update(row, [(0, 2, 0), (2, 5, 1)]) == {}
    later = detail_row(source_row(rate_bytes_s=5.0), source_row(number=1, lease_first=-1, lease_stop=-1))
    change = shown.update(replace(later, job=job_row(stored_bytes=6 * CHUNK)), [(0, 2, 0), (2, 5, 1), (5, 6, 0)])
    assert change["job"] == {"storedBytes": 6 * CHUNK, "percent": 60.0}
    assert [source["number"] for source in change["sources"]] == [0]
    assert drawn(change["ranges"], drawn(whole["ranges"])) == "001110aa.."


owned = st.lists(st.sampled_from("0123."), min_size=CHUNKS, max_size=CHUNKS)


def test_a_picture_begins_with_the_rates_of_before() -> None:
    kept = (RateSample(ago_s=5.0, sources=(0, 1), rates=(7, 3)), RateSample(ago_s=0.1, sources=(1,), rates=(9,)))
    change = JobPicture().update(detail_row().but(rates=kept), [])
    assert change["rates"] == [[5.0, (0, 1), (7, 3)], [0.1, (1,), (9,)]]


@given(st.lists(owned, min_size=2, max_size=6))
def test_changes_put_upon_each_other_are_the_whole(pictures: list[list[str]]) -> None:
    shown, seen = JobPicture(), "?" * CHUNKS
    row = detail_row(source_row(lease_first=-1, lease_stop=-1))
    for picture in pictures:
        stored = [(at, at + 1, int(cell)) for at, cell in enumerate(picture) if cell != "."]
        seen = drawn(shown.update(row, stored).get("ranges", ()), seen)
        assert seen == "".join(picture)


def test_a_job_is_watched_until_it_is_deleted() -> None:
    played = Played()
    with serving(played) as api, api.client.stream("GET", f"{ROOT}/jobs/{ID}/live") as response:
        seen = events(response)
        kind, whole = next(seen)
        assert kind == "whole"
        assert drawn(whole["ranges"]) == "00110aaa.."
        played.detail = detail_row(stored_bytes=7 * CHUNK)
        api.say(EventOccurred(serial=0, at_ms=1, kind="job.progressed", id=ID, data=b"{}"))
        kind, change = next(seen)
        assert (kind, change["job"]["storedBytes"]) == ("change", 7 * CHUNK)
        refusal = lambda message: [RequestRefused(request=message.request, kind="unknown", field="", detail="gone")]  # noqa: E731
        played.instead[GetJob] = refusal
        api.say(EventOccurred(serial=9, at_ms=1, kind="job.deleted", id=ID, data=b"{}"))
        assert next(seen) == ("ended", {"detail": "gone"})
        assert list(seen) == []


def test_a_job_that_there_is_not_is_not_watched() -> None:
    played = Played()
    played.instead[GetJob] = lambda message: [
        RequestRefused(request=message.request, kind="unknown", field="", detail="no such job")
    ]
    with serving(played) as api:
        assert api.client.get(f"{ROOT}/jobs/{ID}/live").status_code == 404


def test_a_watched_job_survives_the_loss_of_the_job_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "AWAY_S", 0.01)
    played = Played()
    with serving(played) as api, api.client.stream("GET", f"{ROOT}/jobs/{ID}/live") as response:
        seen = events(response)
        next(seen)
        played.instead[GetJob] = lambda message: [ProcessLost(process="jobs", detail="killed", restart_s=0.1)]
        api.say(EventOccurred(serial=1, at_ms=1, kind="job.progressed", id=ID, data=b"{}"))
        eventually(lambda: "jobs" in api.gateway.away)
        played.instead.clear()
        played.detail = detail_row(stored_bytes=8 * CHUNK)
        api.loop.call_soon_threadsafe(api.gateway.away.clear)
        assert next(seen)[1]["job"]["storedBytes"] == 8 * CHUNK


def test_a_search_shows_files_while_replies_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SEARCH_PERIOD_S", 0.01)
    found: list[int] = []

    def answer(to: str, message: Any) -> Iterable[GatewayInbox]:
        if isinstance(message, StartSearch):
            found.append(message.search)
            return hits(message.search)[:2]
        return ()

    with serving(answer) as api, api.client.stream("GET", f"{ROOT}/search/live?searchText=tide") as response:
        seen = events(response)
        kind, matches = next(seen)
        assert (kind, matches["hits"], matches["matches"][0]["users"]) == ("matches", 2, 2)
        api.say(*hits(found[0])[2:], SearchEnded(search=found[0], peers=3, refused=""))
        # A report may fall between two replies.
        kind, matches = next((kind, row) for kind, row in seen if kind != "matches" or row["refused"])
        assert (kind, len(matches["matches"]), matches["refused"]) == ("matches", 2, 1)
        assert next(seen) == ("ended", {"hits": 4})


def test_a_search_whose_reader_goes_away_is_called_off() -> None:
    with serving(lambda _to, message: hits(message.search) if isinstance(message, StartSearch) else ()) as api:
        with api.client.stream("GET", f"{ROOT}/search/live?searchText=tide") as response:
            next(events(response))
        eventually(lambda: any(isinstance(message, CancelSearch) for _, message in api.posted))


def test_a_refused_search_says_why_and_who_only_reads_may_not_search() -> None:
    key = ApiKey(name="reader", key="reader-key-of-16-chars", role=READ_ONLY)

    def answer(_to: str, message: Any) -> Iterable[GatewayInbox]:
        return [SearchEnded(search=message.search, peers=0, refused="too many", retry_after_s=7.0)]

    with serving(answer, open_settings(authentication=True, keys=(key,))) as api:
        headers = {"X-API-Key": key.key}
        assert api.client.get(f"{ROOT}/search/live?searchText=x", headers=headers).status_code == 403
        api.configure(open_settings())
        with api.client.stream("GET", f"{ROOT}/search/live?searchText=x") as response:
            assert next(events(response)) == ("refused", {"detail": "too many", "retryAfterS": 7.0})


def test_one_command_to_many_jobs_is_done_or_refused_for_each() -> None:
    other = ID.replace("3f", "4f")

    def answer(_to: str, message: Any) -> Iterable[GatewayInbox]:
        if message.id == other:
            return [RequestRefused(request=message.request, kind="conflict", field="", detail="it has ended")]
        return answered(message.request, [job_row(state="paused")])

    with serving(answer) as api:
        body = {"action": "pause", "ids": [ID, other, ID]}
        done = api.client.post(f"{ROOT}/bulk", json=body).json()
        assert [job["state"] for job in done["done"]] == ["paused"]
        assert done["failed"] == [{"id": other, "kind": "conflict", "detail": "it has ended"}]
        assert sum(isinstance(message, PauseJob) for _, message in api.posted) == 2
        for action, kind in (("cancel", CancelJob), ("delete", DeleteJob)):
            api.client.post(f"{ROOT}/bulk", json={"action": action, "ids": [ID]})
            assert isinstance(api.posted[-1][1], kind)
        api.client.post(f"{ROOT}/bulk", json={"action": "update", "ids": [ID], "limit": 5})
        assert api.posted[-1][1] == UpdateJob(
            request=api.posted[-1][1].request, reply_to=api.gateway.address, id=ID, limit_bytes_s=5, priority=-1
        )
        assert api.client.post(f"{ROOT}/bulk", json={"action": "explode", "ids": [ID]}).status_code == 400


def test_the_status_says_how_everything_is() -> None:
    settings = open_settings("/tmp")
    window = LimitWindow(days=(0, 6), begin_minute=60, end_minute=450, limit_bytes_s=9)
    settings = changed(settings, limits=LimitSettings(limit_bytes_s=7))
    counts = counts_row(limit_bytes_s=500, schedule=(window,))
    played = Played(instead={GetCounts: lambda message: answered(message.request, [counts])})
    with serving(played, settings) as api:
        api.say(
            HealthReported(process="hub", pid=7, restarts=2, age_s=6.0, cpu_s=1.5, memory_bytes=9, fds=1, threads=2),
            ProcessLost(process="store", detail="killed", restart_s=1.0),
            SessionChanged(state="online", detail="port 1", final=False),
        )
        status = api.client.get(f"{ROOT}/status").json()
    assert (status["login"], status["loginDetail"], status["limit"], status["limitConfigured"]) == (
        "online",
        "port 1",
        500,
        7,
    )
    assert status["schedule"] == [{"days": [0, 6], "beginMinute": 60, "endMinute": 450, "limit": 9}]
    assert [(one["name"], one["up"], one["restarts"]) for one in status["processes"]] == [
        ("hub", True, 2),
        ("store", False, 0),
    ]


class Wishing(Played):
    """A job manager with a wishlist, and users who have what is searched for."""

    def __init__(self) -> None:
        super().__init__()
        self.wishes: dict[str, Wish] = {}

    def __call__(self, to: str, message: Any) -> Iterable[GatewayInbox]:
        match message:
            case ListWishes(request=request):
                return answered(request, list(self.wishes.values()))
            case PutWish(request=request, wish=wish):
                self.wishes[wish.id] = wish
                return answered(request)
        return super().__call__(to, message)


def test_a_wish_is_searched_for_until_it_is_found_and_becomes_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wishlist, "LOOK_S", 0.01)
    manager = Wishing()
    with serving(manager) as api:
        made = api.client.post(f"{ROOT}/wishlist", json={"term": " quartet   tide ", "download": True}).json()
        assert (made["term"], made["foundAt"]) == ("quartet tide", None)
        again = api.client.post(f"{ROOT}/wishlist", json={"term": "Quartet Tide", "download": True}).json()
        assert again["id"] == made["id"]
        assert not any(isinstance(message, StartSearch) for _, message in api.posted)  # no login
        api.say(SessionChanged(state="online", detail="", final=False))
        eventually(lambda: bool(manager.wishes[made["id"]].found_ms))
        (wish,) = api.client.get(f"{ROOT}/wishlist").json()
    assert (wish["found"], wish["job"]) == (2, ID)


def test_wishes_are_searched_for_one_at_a_time_the_one_left_longest_first() -> None:
    def wish(id: str, **fields: Any) -> Wish:
        return Wish(id=id, term=id, download=False, **{"created_ms": 1, **fields})

    hour = 3_600_000
    fresh, old, found = wish("fresh"), wish("old", searched_ms=hour), wish("found", found_ms=5)
    assert wishlist.next_wish([old, fresh, found], now_ms=10 * hour) == fresh
    assert wishlist.next_wish([old, found], now_ms=10 * hour) == old
    assert wishlist.next_wish([old, fresh], now_ms=hour + 1000) is None, "another was just searched for"
    assert wishlist.next_wish([old], now_ms=hour + 600_000) is None, "it was searched for not long ago"
    assert wishlist.next_wish([found], now_ms=10 * hour) is None
