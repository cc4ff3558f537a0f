"""Jobs as transfers, and where their files are placed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.http_api.slskd.transfer_mapping import Tree, order, transfer
from protocol.model.filenames import FOLDER_BYTES_MAX, placed_folder, placed_name
from protocol.model.job_records import SEALED
from tests.protocol.http_api.slskd.fake_daemon import SIZE, TRACK, active, snapshot


def placed(path: str, downloads: str = "/data") -> tuple[str, str]:
    made = order("u", path, 5, downloads=downloads, chunk_size=1, widen=True)
    return made.spec.folder, made.spec.name


@given(st.integers(0, 10**12), st.integers(0, 10**13), st.sampled_from(["queued", "active", "sealed", "failed"]))
def test_bytes_and_percent_are_always_of_one_file(size: int, stored: int, state: str) -> None:
    shown = transfer(snapshot(state=state, size_bytes=size, stored_bytes=stored))
    assert shown.bytes_transferred + shown.bytes_remaining == size
    assert 0 <= shown.percent_complete <= 100
    assert shown.bytes_transferred == size or state != SEALED


def test_an_empty_file_is_complete_to_0_percent() -> None:
    assert transfer(snapshot(size_bytes=0, state=SEALED)).percent_complete == 0


def test_null_members_are_absent_and_names_have_camel_case() -> None:
    body = json.loads(transfer(snapshot()).model_dump_json(by_alias=True, exclude_none=True))
    assert "startedAt" not in body
    assert "exception" not in body
    assert "placeInQueue" not in body
    assert None not in body.values()
    assert (body["bytesTransferred"], body["startOffset"], body["requestedAt"]) == (
        0,
        0,
        "2025-11-22T07:00:00.1230000Z",
    )


def test_a_running_transfer_tells_place_and_times() -> None:
    shown = transfer(active(queue_place=3, active_s=61.5, left_s=30.0, rate_bytes_s=1e6, stored_bytes=SIZE // 2))
    assert shown.place_in_queue == 3
    assert shown.elapsed_time == "00:01:01.5000000"
    assert shown.remaining_time == "00:00:30.0000000"
    assert shown.average_speed == 1e6
    assert shown.percent_complete == pytest.approx(50.0, abs=0.01)
    assert shown.started_at == "2025-11-22T07:00:01.0000000Z"


def test_a_failed_transfer_says_why() -> None:
    assert transfer(snapshot(state="failed", outcome="starved", reason="nobody")).exception == "nobody"
    assert transfer(snapshot(state="failed", outcome="disk")).exception == "disk"
    assert transfer(snapshot(state="queued", reason="tried again soon")).exception is None


def test_the_tree_groups_by_user_and_folder_and_keeps_backslashes() -> None:
    jobs = [
        snapshot(id="1", user="b", remote_path="m\\X\\1.mp3"),
        snapshot(id="2", user="a", remote_path="m\\X\\1.mp3"),
        snapshot(id="3", user="b", remote_path="m\\X\\2.mp3"),
        snapshot(id="4", user="b", remote_path="m\\Y\\1.mp3"),
        snapshot(id="5", user="b", remote_path="alone.mp3"),
    ]
    tree = Tree()
    tree.add(jobs[:2])
    tree.add(jobs[2:])
    found = [(user.username, [(each.directory, each.file_count) for each in user.directories]) for user in tree.users()]
    assert found == [
        ("b", [("m\\X", 2), ("m\\Y", 1), ("", 1)]),
        ("a", [("m\\X", 1)]),
    ]


def test_a_file_is_placed_in_the_last_folder_of_its_remote_path() -> None:
    assert placed(TRACK) == ("/data/Album", "01 - Track 1.flac")
    assert placed("alone.mp3") == ("/data", "alone.mp3")


@pytest.mark.parametrize(
    ("path", "folder", "name"),
    [
        ("a\\R.E.M.\\x.mp3", "/data/R.E.M.", "x.mp3"),
        ("a\\...And Justice\\...And Justice.mp3", "/data/...And Justice", "...And Justice.mp3"),
        ("a\\.ssh\\authorized_keys", "/data/ssh", "authorized_keys"),
        ("a\\b\\.profile", "/data/b", "profile"),
        ("a\\..\\x.mp3", "/data", "x.mp3"),
        ("a\\. .\\x.mp3", "/data", "x.mp3"),
        ("a\\B\u202e\x07C\\x.mp3", "/data/BC", "x.mp3"),
        ("a\\Album: What? <1>\\x.mp3", "/data/Album: What? <1>", "x.mp3"),
        (f"a\\{'ü' * 200}\\x.mp3", f"/data/{'ü' * 127}", "x.mp3"),
    ],
)
def test_names_from_peers_are_made_safe_and_else_left_as_clients_expect_them(path: str, folder: str, name: str) -> None:
    assert placed(path) == (folder, name)


@given(st.text(max_size=300))
def test_no_name_of_a_peer_leads_out_of_the_downloads(text: str) -> None:
    folder, name = placed_folder(text), placed_name(text)
    for each in (folder, name):
        assert "/" not in each
        assert "\\" not in each
        assert "\x00" not in each
        assert each not in (".", "..")
        assert len(each.encode()) <= FOLDER_BYTES_MAX
        assert each.startswith("..") or not each.startswith(".")
    assert name


def test_what_is_ordered_says_where_it_came_from_and_whom_to_look_for() -> None:
    made = order("peer one", TRACK, SIZE, downloads="/d", chunk_size=4096, widen=True)
    assert made.sources == ("slsk://peer%20one/music%5CArtist%5CAlbum%5C01%20-%20Track%201.flac",)
    assert (made.spec.origin, made.spec.user, made.spec.remote_path) == ("slskd", "peer one", TRACK)
    assert (made.spec.widen, made.spec.term) == (True, "album track 1")
    alone = order("peer one", TRACK, SIZE, downloads="/d", chunk_size=4096, widen=False)
    assert (alone.spec.widen, alone.spec.term) == (False, "")
