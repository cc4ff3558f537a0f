"""Server-sent events read line by line."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.client.sse_client import EVENT_CHARS_MAX, Sent, read_events


def test_events_have_their_ids_and_beats_and_waiting_times_are_none() -> None:
    lines = ["retry: 2000", "", ": beat", "", "id: 7", "event: job.sealed", 'data: {"a": 1}', "", "data:{}", ""]
    assert list(read_events(lines)) == [Sent("7", '{"a": 1}'), Sent("", "{}")]


def test_data_in_several_lines_is_one_text() -> None:
    assert list(read_events(["data: a", "data:  b", "data", ""])) == [Sent("", "a\n b\n")]


def test_an_event_that_was_cut_off_is_none() -> None:
    assert list(read_events(["id: 1", "data: {}"])) == []


def test_an_event_without_an_end_takes_no_more_than_so_much() -> None:
    (sent,) = read_events([*(f"data: {'x' * 1000}" for _ in range(2000)), ""])
    assert len(sent.data) < 1.1 * EVENT_CHARS_MAX


@given(st.lists(st.text(st.characters(exclude_characters="\n\r"))))
def test_no_line_breaks_it(lines: list[str]) -> None:
    assert all(isinstance(sent.data, str) for sent in read_events(lines))
