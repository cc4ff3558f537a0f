"""Frames: what was packed comes back; what `encode` would not have made is one error. Checked against plain msgpack."""

import typing
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.assembler import AssemblerInbox
from actors.core.dispatch.dispatcher import DispatcherInbox
from actors.core.pool.pool import PoolInbox
from actors.core.rates.rate_monitor import WatchdogInbox
from actors.fleet.settings import FleetInbox
from actors.job_manager import JobManagerInbox
from actors.peer_history import PeerHistoryInbox
from actors.peer_worker import WorkerInbox
from actors.runtime.process_root import RootInbox
from actors.slot_returns import ShelfInbox
from actors.soulseek.event_loop import SessionInbox
from protocol.http_api.gateway import GatewayInbox
from protocol.messages import (
    ContinueTransfer,
    FrontInbox,
    JobNoted,
    LeaseFinished,
    Message,
    ProcessLost,
    Request,
    SlotFreed,
    SourceMeasured,
    StartDispatcher,
    Ticked,
)
from protocol.messages.codec import FRAME_BYTES_MAX, MESSAGES, BadFrame, decode, encode
from protocol.model.value import Value
from tests.specs import start_job

INBOXES = (
    AssemblerInbox,
    GatewayInbox,
    DispatcherInbox,
    FleetInbox,
    FrontInbox,
    JobManagerInbox,
    PeerHistoryInbox,
    PoolInbox,
    RootInbox,
    SessionInbox,
    ShelfInbox,
    WatchdogInbox,
    WorkerInbox,
)
numbers = st.integers(-(2**63), 2**63 - 1)
FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    int: numbers,
    float: st.floats(allow_nan=False),
    str: st.text(max_size=50),
    bytes: st.binary(max_size=50),
    bool: st.booleans(),
    type(None): st.none(),
}


def instances(cls: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{field.name: values(hints[field.name]) for field in msgspec.structs.fields(cls)})


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Draw what a field may hold: a plain value, several of one kind, one of several kinds, or an embedded value."""
    if hint in FIELDS:
        return FIELDS[hint]
    kinds = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return st.lists(values(kinds[0]), max_size=5).map(tuple)
    return st.one_of(*map(values, kinds)) if kinds else instances(hint)


def flat(value: Any) -> Any:
    """As plain msgpack packs it: a value that is embedded is an array, a message is one with its tag first."""
    if isinstance(value, tuple):
        return [flat(each) for each in value]
    if not isinstance(value, Value):
        return value
    fields = [flat(getattr(value, field.name)) for field in msgspec.structs.fields(value)]
    return [tag_of(type(value)), *fields] if isinstance(value, Message) else fields


def tag_of(cls: type) -> int:
    return next(tag for tag, each in MESSAGES.items() if each is cls)


@given(st.sampled_from(list(MESSAGES.values())).flatmap(instances))
def test_every_message_comes_back_as_it_was_packed(message: Any) -> None:
    assert decode(encode(message)) == message


@given(st.sampled_from(list(MESSAGES.values())).flatmap(instances))
def test_a_frame_is_the_msgpack_array_of_tag_and_fields(message: Any) -> None:
    assert encode(message) == msgpack.packb(flat(message))


def test_tags_count_from_zero_without_a_gap() -> None:
    assert sorted(MESSAGES) == list(range(len(MESSAGES)))


def test_every_message_is_a_struct_that_the_codec_knows() -> None:
    assert set(MESSAGES.values()) == {*Message.__subclasses__(), *Request.__subclasses__()} - {Request}


def test_every_message_is_in_an_inbox_and_every_inbox_takes_only_messages() -> None:
    taken = {message for inbox in INBOXES for message in typing.get_args(inbox)}
    assert taken == set(MESSAGES.values())


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        SlotFreed(slot=1).slot = 2  # type: ignore[misc]


@given(st.binary(max_size=200))
def test_bytes_that_no_one_packed_are_a_bad_frame(frame: bytes) -> None:
    try:
        message = decode(frame)
    except BadFrame:
        return
    assert decode(encode(message)) == message


TAG = tag_of(SlotFreed)


@pytest.mark.parametrize(
    "row",
    [
        [],
        [len(MESSAGES), 1],
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


def test_a_field_that_has_a_default_is_never_left_out_of_a_frame() -> None:
    frame = msgpack.unpackb(encode(ProcessLost(process="hub", detail="")))
    assert frame[-1] == -1.0
    with pytest.raises(BadFrame):
        decode(msgpack.packb(frame[:-1]))


def test_nor_is_one_of_an_embedded_value() -> None:
    tag, start = msgpack.unpackb(encode(StartDispatcher(start=start_job())))
    with pytest.raises(BadFrame):
        decode(msgpack.packb([tag, [*start[:2], start[2][:-1], *start[3:]]]))
    with pytest.raises(BadFrame):
        decode(msgpack.packb([tag, start[:-1]]))


def test_trailing_bytes_are_a_bad_frame() -> None:
    with pytest.raises(BadFrame):
        decode(encode(Ticked()) + b"\x00")


def test_a_whole_number_in_a_float_field_still_travels_as_a_float() -> None:
    measured = SourceMeasured(job=1, source=2, lease=3, received_bytes=4, rate_bytes_s=5, setup_s=0)
    assert decode(encode(measured)) == measured


def test_what_does_not_fit_a_link_is_refused_at_both_ends() -> None:
    with pytest.raises(BadFrame):
        encode(JobNoted(job=1, text="x" * FRAME_BYTES_MAX))
    with pytest.raises(BadFrame):
        decode(b"\x00" * (FRAME_BYTES_MAX + 1))


def test_a_message_of_one_field_and_one_of_many_keep_their_order() -> None:
    assert msgpack.unpackb(encode(ContinueTransfer(lease=9)))[1:] == [9]
    finished = LeaseFinished(job=1, source=2, lease=3, handed_stop=4, received_bytes=5, size_bytes=6, stopped=True)
    assert msgpack.unpackb(encode(finished))[1:] == [1, 2, 3, 4, 5, 6, True, 0.0]
