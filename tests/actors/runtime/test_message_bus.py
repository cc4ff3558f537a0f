"""Messages find their addressee in this process and, over real sockets, in others."""

import queue
import tempfile
from collections.abc import Callable, Iterator

import pytest

from actors.runtime.message_bus import MessageBus
from protocol.messages import JobNoted, Message, Ping, Ticked
from protocol.messages.addresses import Post
from protocol.messages.codec import BadFrame, decode

Inbox = queue.SimpleQueue[Message]
MakeMailroom = Callable[[str], tuple[MessageBus, Inbox]]


@pytest.fixture
def made() -> Iterator[MakeMailroom]:
    """Makes a started message bus with one box, ``box``."""
    rooms: list[MessageBus] = []
    with tempfile.TemporaryDirectory(prefix="shoal-") as run_dir:

        def make(process: str) -> tuple[MessageBus, Inbox]:
            inbox: Inbox = queue.SimpleQueue()
            room = MessageBus(process, run_dir)
            room.register("box", lambda frame: inbox.put(decode(frame)))
            room.start()
            rooms.append(room)
            return room, inbox

        yield make
        for room in rooms:
            room.close()


def test_a_message_inside_the_process_arrives_as_another_equal_object(made: MakeMailroom) -> None:
    room, inbox = made("a")
    sent = JobNoted(job=1, text="here")
    room.post("a/box", sent)
    got = inbox.get_nowait()  # delivered by the poster's own thread
    assert got == sent
    assert got is not sent


def test_messages_cross_in_order_both_ways_and_to_both_kinds_of_post(made: MakeMailroom) -> None:
    (a, inbox_a), (b, inbox_b) = made("a"), made("b")
    a.post_all(Post(to="b/box", message=Ping(serial=serial)) for serial in range(500))
    b.post("a/box", JobNoted(job=1, text="hello"))
    a.post(Post(to="b/box", message=Ticked()))
    assert [inbox_b.get(timeout=30) for _ in range(501)] == [*(Ping(serial=s) for s in range(500)), Ticked()]
    assert inbox_a.get(timeout=30) == JobNoted(job=1, text="hello")


def test_the_longest_frame_crosses_and_a_longer_one_is_refused_where_it_is_made(made: MakeMailroom) -> None:
    (a, _), (_b, inbox_b) = made("a"), made("b")
    sent = JobNoted(job=1, text="x" * 59_990)
    a.post("b/box", sent)
    assert inbox_b.get(timeout=30) == sent
    with pytest.raises(BadFrame, match="at most"):
        a.post("b/box", JobNoted(job=1, text="x" * 60_000))


def test_words_to_no_one_are_dropped_and_counted_and_others_still_arrive(made: MakeMailroom) -> None:
    (a, inbox_a), (b, inbox_b) = made("a"), made("b")
    a.post("a/nobody", Ticked())
    assert a.dropped == 1
    a.post("b/nobody", Ticked())
    a.post("b/box", Ticked())
    assert inbox_b.get(timeout=30) == Ticked()
    assert (a.dropped, b.dropped) == (1, 1)
    b.close()
    a.post("b/box", Ticked())
    assert a.dropped == 2
    a.post("a/box", Ticked())
    assert inbox_a.get(timeout=30) == Ticked()


def test_a_box_that_was_taken_away_gets_nothing_and_may_be_taken_again(made: MakeMailroom) -> None:
    room, inbox = made("a")
    with pytest.raises(ValueError, match="a/box is taken"):
        room.register("box", lambda _frame: None)
    room.unregister("box")
    room.unregister("box")
    room.post("a/box", Ticked())
    assert inbox.empty()
    room.register("box", lambda frame: inbox.put(decode(frame)))
    room.post("a/box", Ticked())
    assert inbox.get_nowait() == Ticked()


def test_a_late_post_comes_later_unless_cancelled(made: MakeMailroom) -> None:
    room, inbox = made("a")
    room.post_later(0.02, "a/box", Ping(serial=1)).cancel()
    room.post_later(0.03, "a/box", Ping(serial=2))
    assert inbox.empty()
    assert inbox.get(timeout=30) == Ping(serial=2)


def test_an_address_that_cannot_be_one_is_our_fault(made: MakeMailroom) -> None:
    room, _inbox = made("a")
    for address in ("b", "b/", "/box", "b/" + "x" * 300):
        with pytest.raises(ValueError, match="no address"):
            room.post(address, Ticked())


def test_closing_twice_is_harmless_and_afterwards_nothing_moves(made: MakeMailroom) -> None:
    room, inbox = made("a")
    room.close()
    room.close()
    room.post("a/box", Ticked())
    room.post("b/box", Ticked())
    assert inbox.empty()
