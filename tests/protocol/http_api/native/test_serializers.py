"""JSON of rows: every member there, nothing that JSON cannot say, unknown as null."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.chunk_tracker import UNBOUNDED
from protocol.http_api.native import serializers
from protocol.http_api.native.peer_schemas import StopsOfDay
from protocol.http_api.schema_base import moment
from protocol.messages import SearchHit
from protocol.model.file_matches import FileMatches
from protocol.model.job_records import EventEntry
from protocol.model.job_views import Bottleneck, PeerView, StopCount
from tests.protocol.http_api.rows import CHUNK, ID, detail_row, job_row, source_row


def test_what_is_not_known_is_null() -> None:
    shown = json.loads(
        serializers.job(job_row(size_bytes=-1, stored_bytes=0, path="", phase="", started_ms=0)).model_dump_json()
    )
    nulls = {name for name, value in shown.items() if value is None}
    assert {"sizeBytes", "path", "phase", "startedAt", "endedAt", "leftS", "queuePlace", "checksum", "user"} <= nulls
    assert shown["percent"] == 0
    assert shown["createdAt"] == "2025-11-24T16:00:00.123000Z"


def test_a_job_is_a_hundred_percent_only_once_it_is_sealed() -> None:
    assert serializers.percent("active", 999_999, 1_000_000) == 99.99
    assert serializers.percent("active", 1_000_000, 1_000_000) == 99.99
    assert serializers.percent("sealed", 0, 0) == 100
    assert serializers.percent("failed", 0, 0) == 0
    assert serializers.percent("paused", 5, 10) == 50


def test_numbers_that_json_cannot_say_become_some_that_it_can() -> None:
    for strange in (float("nan"), float("inf"), -1.0):
        shown = serializers.job(job_row(rate_bytes_s=strange, active_s=strange, left_s=strange))
        assert shown.rate_bytes_s >= 0
        json.loads(shown.model_dump_json(), parse_constant=lambda word: (_ for _ in ()).throw(ValueError(word)))


def test_a_job_shows_who_has_which_chunks() -> None:
    row = detail_row(source_row(), source_row(number=1, peer="ann", path="m\\t.flac", lease_first=-1, lease_stop=-1))
    shown = serializers.job_detail(row, serializers.chunks_of(row, [(0, 2, 0), (2, 5, 1)]))
    assert shown.chunk_map is not None
    assert shown.chunk_map.chunk_count == 10
    assert [(run.first, run.count, run.state, run.source) for run in shown.chunk_map.runs] == [
        (0, 2, "stored", 0),
        (2, 3, "stored", 1),
        (5, 3, "leased", 0),
        (8, 2, "missing", None),
    ]
    assert [one.lease_first for one in shown.sources] == [5, None]
    assert [one.username for one in shown.sources] == [None, "ann"]
    assert shown.notes == ["a note"]


def test_a_lease_of_a_file_whose_size_is_not_known_has_no_end() -> None:
    (shown,) = serializers.job_detail(detail_row(source_row(lease_first=3, lease_stop=UNBOUNDED)), None).sources
    assert (shown.lease_first, shown.lease_stop) == (3, None)


def test_a_file_of_unknown_size_has_no_map_and_an_empty_one_no_chunks() -> None:
    assert serializers.chunks_of(detail_row(size_bytes=-1), []) is None
    empty = serializers.chunks_of(detail_row(size_bytes=0), [])
    assert empty is not None
    assert (empty.chunk_count, empty.runs) == (0, [])


def test_a_long_map_is_cut_and_says_so() -> None:
    row = detail_row(size_bytes=30_000 * CHUNK)
    shown = serializers.chunks_of(row, [(2 * number, 2 * number + 1, 0) for number in range(15_000)])
    assert shown is not None
    assert shown.truncated
    assert len(shown.runs) == 10_000


def test_the_manifest_says_bytes_and_names() -> None:
    row = detail_row(source_row(url="https://m.example/f"), size_bytes=10 * CHUNK - 7)
    shown = serializers.manifest(row, [(0, 4, 0), (8, 10, -1)])
    assert [(run.start_byte, run.stop_byte, run.source, run.url) for run in shown.runs] == [
        (0, 4 * CHUNK, 0, "https://m.example/f"),
        (8 * CHUNK, 10 * CHUNK - 7, None, None),
    ]


def test_why_is_the_tightest_binding_in_words() -> None:
    shown = serializers.why(
        ID, [Bottleneck(kind="limit", text="It may have 5 KB/s."), Bottleneck(kind="peers", text="Slow.")]
    )
    assert shown.text == "It may have 5 KB/s."
    assert [one.kind for one in shown.bindings] == ["limit", "peers"]
    assert serializers.why(ID, []).text


def test_a_happening_has_its_data_as_json() -> None:
    shown = serializers.happening(EventEntry(serial=5, at_ms=1, kind="job.sealed", id=ID, data=b'{"path":"/f"}'))
    assert shown.data == {"path": "/f"}
    assert serializers.happening(EventEntry(serial=5, at_ms=1, kind="job.deleted", id=ID, data=b"")).data == {}


def test_a_target_shows_who_would_send_soonest_first() -> None:
    targets = FileMatches()
    for peer, free, speed in (("slow", True, 5), ("busy", False, 9000), ("fast", True, 500)):
        targets.add(
            SearchHit(
                search=1,
                peer=peer,
                path=f"{peer}\\t.FLAC",
                size_bytes=10,
                slots_free=free,
                speed_bytes_s=speed,
                queue_length=0,
                locked=False,
            )
        )
    shown = serializers.file_match(targets.best()[0])
    assert (shown.users, shown.free, shown.extension) == (3, 2, "flac")
    assert [one.username for one in shown.sources] == ["fast", "slow", "busy"]


def test_a_user_shows_its_last_fault_in_words() -> None:
    row = PeerView(
        peer="ann", rate_bytes_s=1.5, setup_s=0, offset_ok=True, failures=1, last_fault=26, stops_today=2, seen_ms=0
    )
    assert serializers.known_user(row).last_fault == "not shared"
    assert serializers.known_user(row).seen_at is None
    assert StopsOfDay.model_validate(StopCount(peer="ann", day="2026-11-25", count=2)).day.isoformat() == "2026-11-25"


@given(st.integers(-(2**62), 2**62))
def test_every_moment_can_be_written(at_ms: int) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) <= moment(at_ms) <= datetime(2100, 1, 2, tzinfo=UTC)
