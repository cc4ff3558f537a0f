"""Frames: what was packed comes back; what nobody packed is one error."""

import typing
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import messages
from protocol.messages import TAGS, ContinueTransfer, LeaseFinished, SlotFreed, SourceMeasured, Ticked
from protocol.messages.codec import FRAME_BYTES_MAX, BadFrame, decode, encode

numbers = st.integers(-(2**63), 2**63 - 1)
FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    int: numbers,
    float: st.floats(allow_nan=False),
    str: st.text(max_size=50),
    bytes: st.binary(max_size=50),
    bool: st.booleans(),
    tuple[int, ...]: st.lists(numbers, max_size=5).map(tuple),
    tuple[str, ...]: st.lists(st.text(max_size=9), max_size=5).map(tuple),
}


def instances(cls: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{field.name: FIELDS[hints[field.name]] for field in msgspec.structs.fields(cls)})


@given(st.sampled_from(TAGS).flatmap(instances))
def test_every_message_comes_back_as_it_was_packed(message: Any) -> None:
    assert decode(encode(message)) == message


def test_every_message_has_one_tag_and_is_in_the_closed_union() -> None:
    assert len(set(TAGS)) == len(TAGS)
    assert set(typing.get_args(messages.Message)) == set(TAGS)


@pytest.mark.parametrize("inbox", [name for name in messages.__all__ if name.endswith("Inbox")])
def test_an_inbox_takes_only_what_can_travel(inbox: str) -> None:
    assert set(typing.get_args(getattr(messages, inbox))) <= set(TAGS)


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        SlotFreed(slot=1).slot = 2  # type: ignore[misc]


@given(st.binary(max_size=200))
def test_bytes_that_nobody_packed_are_a_bad_frame(frame: bytes) -> None:
    try:
        message = decode(frame)
    except BadFrame:
        return
    assert decode(encode(message)) == message


TAG = TAGS.index(SlotFreed)


@pytest.mark.parametrize(
    "row",
    [
        [],
        [len(TAGS), 1],
        [-1],
        ["0"],
        [True, 1],
        [TAG],
        [TAG, 1, 2],
        [TAG, 1.0],
        [TAG, True],
        [TAG, None],
        [TAG, "1"],
        {"tag": TAG},
        TAG,
    ],
    ids=repr,
)
def test_wrong_count_tag_or_type_is_a_bad_frame(row: object) -> None:
    with pytest.raises(BadFrame):
        decode(msgpack.packb(row))


def test_trailing_bytes_are_a_bad_frame() -> None:
    with pytest.raises(BadFrame):
        decode(encode(Ticked()) + b"\x00")


def test_a_whole_number_in_a_float_field_still_travels_as_a_float() -> None:
    measured = SourceMeasured(job=1, source=2, lease=3, received_bytes=4, rate_bytes_s=5, setup_s=0)
    assert decode(encode(measured)) == measured


def test_what_does_not_fit_a_link_is_refused_at_both_ends() -> None:
    with pytest.raises(BadFrame):
        encode(messages.JobNoted(job=1, text="x" * FRAME_BYTES_MAX))
    with pytest.raises(BadFrame):
        decode(b"\x00" * (FRAME_BYTES_MAX + 1))


def test_a_message_of_one_field_and_one_of_many_keep_their_order() -> None:
    assert msgpack.unpackb(encode(ContinueTransfer(lease=9)))[1:] == [9]
    finished = LeaseFinished(job=1, source=2, lease=3, handed_stop=4, received_bytes=5, size_bytes=6, stopped=True)
    assert msgpack.unpackb(encode(finished))[1:] == [1, 2, 3, 4, 5, 6, True]
