"""What a search shows of what it hears, and when it is over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from protocol.http_api.slskd import search_state
from protocol.http_api.slskd.schemas import SearchBody
from protocol.http_api.slskd.search_state import Searches, SearchState
from tests.protocol.http_api.slskd.fake_daemon import hit

ID = "f857d550-e646-11f1-94e2-02fc00000001"


def searching(**asked: Any) -> SearchState:
    return SearchState(body(**asked), id=ID, token=7, now_ms=1000)


def body(**asked: Any) -> SearchBody:
    return SearchBody.model_validate({"searchText": "x", **{to_camel(name): value for name, value in asked.items()}})


def heard(found: SearchState, *hits: dict[str, Any]) -> SearchState:
    for one in hits:
        found.receive(hit(**one), now_ms=2000)
    return found


def test_files_are_grouped_by_user_in_the_order_of_their_answers() -> None:
    found = heard(searching(), {"peer": "b", "path": "m\\1.mp3"}, {"peer": "a"}, {"peer": "b", "path": "m\\2.mp3"})
    first, second = found.responses()
    assert (first.username, first.file_count, [file.filename for file in first.files]) == (
        "b", 2, ["m\\1.mp3", "m\\2.mp3"],
    )  # fmt: skip
    assert (second.username, second.upload_speed, second.token) == ("a", 1_500_000, 7)
    assert found.view(responses=False).responses == []
    assert found.view(responses=True).response_count == 2


def test_it_is_in_progress_until_it_is_ended_and_shows_what_it_has_meanwhile() -> None:
    found = heard(searching(), {})
    view = found.view(responses=True)
    assert (view.state, view.is_complete, view.file_count, view.ended_at) == ("InProgress", False, 1, None)
    found.end(search_state.TIMED_OUT, now_ms=3000)
    found.end(search_state.ERRORED, now_ms=4000)
    view = found.view(responses=True)
    assert (view.state, view.is_complete, view.ended_at) == (
        "Completed, TimedOut",
        True,
        "1970-01-01T00:00:03.0000000Z",
    )
    assert len(view.responses) == 1


def test_the_file_limit_ends_it_with_exactly_that_many_bytes() -> None:
    found = heard(searching(file_limit=2), *({"path": f"m\\{n}.mp3"} for n in range(5)))
    assert found.state == "Completed, FileLimitReached"
    assert found.view(responses=True).file_count == 2
    assert [len(each.files) for each in found.responses()] == [2]


def test_the_response_limit_ends_it_when_one_more_user_comes() -> None:
    found = heard(searching(response_limit=2), {"peer": "a"}, {"peer": "b"}, {"peer": "b", "path": "m\\2.mp3"})
    assert not found.over
    heard(found, {"peer": "c"})
    assert found.state == "Completed, ResponseLimitReached"
    assert [(each.username, each.file_count) for each in found.responses()] == [("a", 1), ("b", 2)]


def test_filtered_users_are_not_shown_and_count_for_no_limit() -> None:
    limits = {
        "maximum_peer_queue_length": 5, "minimum_peer_upload_speed": 100, "minimum_response_file_count": 2,
        "response_limit": 1,
    }  # fmt: skip
    hits = (
        {"peer": "queue", "queue_length": 6},
        {"peer": "slow", "speed_bytes_s": 99},
        {"peer": "few"},
        {"peer": "good", "queue_length": 5, "speed_bytes_s": 100},
        {"peer": "good", "path": "m\\2.mp3", "queue_length": 5, "speed_bytes_s": 100},
    )
    assert [each.username for each in heard(searching(**limits), *hits).responses()] == ["good"]
    assert len(heard(searching(**{**limits, "response_limit": 9}, filter_responses=False), *hits).responses()) == 4


def test_locked_files_are_reported_apart() -> None:
    found = heard(searching(filter_responses=False), {"locked": True}, {"path": "m\\2.mp3"})
    (shown,) = found.responses()
    assert (shown.file_count, shown.locked_file_count) == (1, 1)
    assert [file.is_locked for file in shown.locked_files] == [True]
    assert found.view(responses=False).locked_file_count == 1


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 9), st.booleans(), st.integers(0, 3)), max_size=60),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(0, 3),
    st.booleans(),
)
def test_counts_and_what_is_shown_always_agree(
    hits: list[tuple[str, int, bool, int]], files: int, users: int, least: int, filtered: bool
) -> None:
    found = searching(
        file_limit=files, response_limit=users, minimum_response_file_count=least, filter_responses=filtered
    )
    for peer, name, locked, queue in hits:
        found.receive(hit(peer=peer, path=f"m\\{name}.mp3", locked=locked, queue_length=queue), now_ms=1)
        view, shown = found.view(responses=True), found.responses()
        assert view.responses == shown
        assert sum(each.file_count for each in shown) == view.file_count <= files
        assert len(shown) <= users
        assert view.response_count >= len(shown)
        assert all(each.files or each.locked_files for each in shown)


@pytest.mark.parametrize(("asked_ms", "wait_s"), [(5, 1.0), (15_000, 15.0), (10**9, 120.0)])
def test_it_listens_as_long_as_is_asked_within_reason(asked_ms: int, wait_s: float) -> None:
    assert searching(search_timeout=asked_ms).wait_s == wait_s


def test_the_oldest_that_are_over_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_state, "SEARCHES_MAX", 3)
    findings = Searches()
    running = findings.add(body(), id="running", now_ms=1)
    for number in range(5):
        findings.add(body(), id=str(number), now_ms=1).end(search_state.TIMED_OUT, now_ms=2)
    assert [each.id for each in findings.all()] == ["running", "3", "4"]
    assert findings.running() == 1
    monkeypatch.setattr(search_state, "FILES_KEPT_MAX", 1)
    for number in range(2):
        running.receive(hit(path=f"m\\{number}.mp3"), now_ms=1)
    findings.add(body(), id="new", now_ms=3)
    assert [each.id for each in findings.all()] == ["running", "new"], "what runs is kept, however much it holds"


def test_what_a_user_says_of_the_sound_is_reported_and_nothing_else() -> None:
    flac = {"duration_s": 201, "sample_rate_hz": 44_100, "bit_depth": 16}
    mp3 = {"path": "m\\2.mp3", "bit_rate_kbit_s": 320, "variable_rate": 0, "duration_s": 0}
    (shown,) = heard(searching(), flac, mp3).responses()
    first, second = (file.model_dump(exclude_none=True, by_alias=True) for file in shown.files)
    assert (first["length"], first["sampleRate"], first["bitDepth"]) == (201, 44_100, 16)
    assert not {"bitRate", "isVariableBitRate"} & first.keys()
    assert (second["bitRate"], second["isVariableBitRate"], second["length"]) == (320, False, 0)
