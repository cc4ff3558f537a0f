"""How things are spelled for clients of slskd."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.http_api.slskd import formatting
from protocol.model.job_records import ACTIVE, ENDED, STATES
from protocol.model.remote_paths import last_folder, split_remote
from tests.protocol.http_api.slskd.fake_daemon import active, snapshot

STATES_OF_SLSKD = {
    "Requested", "Queued, Locally", "Queued, Remotely", "Initializing", "InProgress", "Completed, Succeeded",
    "Completed, Cancelled", "Completed, TimedOut", "Completed, Errored", "Completed, Rejected", "Completed, Aborted",
}  # fmt: skip


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (1_763_794_800_123, "2025-11-22T07:00:00.1230000Z"),
        (1, "1970-01-01T00:00:00.0010000Z"),
        (0, None),
        (-1, None),
    ],
)
def test_a_time_has_seven_decimals_and_a_z_or_is_not_there(at_ms: int, text: str | None) -> None:
    assert formatting.timestamp(at_ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "00:00:00.0000000"),
        (1.5, "00:00:01.5000000"),
        (3_661.000_000_1, "01:01:01.0000001"),
        (59.999_999_99, "00:01:00.0000000"),
        (86_400 * 2 + 1.0, "2.00:00:01.0000000"),
        (-1.0, None),
    ],
)
def test_a_time_span_is_hours_minutes_seconds_and_seven_decimals(seconds: float, text: str | None) -> None:
    assert formatting.time_span(seconds) == text


@given(st.floats(0, 1e9))
def test_every_time_span_has_that_form(seconds: float) -> None:
    assert re.fullmatch(r"(\d+\.)?[0-2]\d:[0-5]\d:[0-5]\d\.\d{7}", formatting.time_span(seconds) or "")


@given(
    st.sampled_from(STATES),
    st.sampled_from(["", "searching", "opening", "verifying", "riding", "paused", "waiting", "sealing"]),
    st.sampled_from(["", "sealed", "starved", "disagreed", "disk", "interrupted", "failed"]),
    st.integers(0, 3),
    st.sampled_from([0.0, 5e5]),
)
def test_a_transfer_is_completed_exactly_when_its_job_has_ended(
    state: str, phase: str, outcome: str, sources_active: int, rate: float
) -> None:
    job = snapshot(state=state, phase=phase, outcome=outcome, sources_active=sources_active, rate_bytes_s=rate)
    shown = formatting.transfer_state(job)
    assert shown in STATES_OF_SLSKD
    assert shown.startswith("Completed") == (state in ENDED)
    assert (shown == "Completed, Succeeded") == (state == "sealed")


def test_an_active_job_says_whether_someone_sends() -> None:
    assert formatting.transfer_state(active(sources_active=2, rate_bytes_s=9.0)) == "InProgress"
    assert formatting.transfer_state(active(sources_active=1)) == "Initializing"
    assert formatting.transfer_state(active(queue_place=4)) == "Queued, Remotely"
    assert formatting.transfer_state(snapshot(state=ACTIVE, phase="waiting")) == "Queued, Remotely"
    assert formatting.transfer_state(snapshot(state=ACTIVE, phase="paused")) == "Queued, Locally"
    assert formatting.transfer_state(snapshot(state="paused")) == "Queued, Locally"
    assert formatting.transfer_state(snapshot(state="queued", attempts=3)) == "Queued, Locally"


@pytest.mark.parametrize(
    ("path", "folder", "name", "last", "extension"),
    [
        ("music\\Artist\\Album\\01 - T.flac", "music\\Artist\\Album", "01 - T.flac", "Album", "flac"),
        ("@@abc\\x/y\\T.MP3", "@@abc\\x/y", "T.MP3", "y", "mp3"),
        ("/home/me/a.tar.gz", "/home/me", "a.tar.gz", "me", "gz"),
        ("alone.ogg", "", "alone.ogg", "", "ogg"),
        ("a\\.hidden", "a", ".hidden", "a", ""),
        ("a\\none", "a", "none", "a", ""),
    ],
)
def test_a_remote_path_is_taken_apart_and_nothing_of_it_is_changed(
    path: str, folder: str, name: str, last: str, extension: str
) -> None:
    assert split_remote(path) == (folder, name)
    assert last_folder(path) == last
    assert formatting.extension(path) == extension


@pytest.mark.parametrize("path", ["..\\a", "a\\..\\b", "a/../b", "a\\.."])
def test_a_path_that_climbs_is_known(path: str) -> None:
    assert formatting.traverses(path)


@pytest.mark.parametrize("path", ["a\\...And Justice\\b", "Wait...flac", "a..b\\c", "..."])
def test_dots_inside_of_names_do_not_climb(path: str) -> None:
    assert not formatting.traverses(path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("F857D550-E646-11F1-94E2-02FC00000001", "f857d550-e646-11f1-94e2-02fc00000001"),
        ("f857d550e64611f194e202fc00000001", "f857d550-e646-11f1-94e2-02fc00000001"),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_guid_is_lower_case_with_dashes(text: str, shown: str | None) -> None:
    assert formatting.guid(text) == shown


@pytest.mark.parametrize(
    ("session", "shown"),
    [
        ("online", "Connected, LoggedIn"), ("connecting", "Connecting"), ("offline", "Disconnected"),
        ("kicked", "Disconnected"), ("refused", "Disconnected"), ("", "Disconnected"),
    ],
)  # fmt: skip
def test_the_login_is_reported_in_slskds_words(session: str, shown: str) -> None:
    assert formatting.server_state(session) == shown
