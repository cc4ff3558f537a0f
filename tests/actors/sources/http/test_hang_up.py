"""Hanging up: when it is a stop, when the connection is kept, and that nothing comes afterwards."""

from tests.actors.sources.conftest import Read, Serve
from tests.actors.sources.reading import begun, read_span
from tests.actors.sources.scripted import Act, Answer, part

CONTENT = bytes(range(256)) * 4
SIZE = len(CONTENT)
PROBE: Answer = [part(CONTENT, 1, 2, 'ETag: "v1"')]


def test_hanging_up_in_the_middle_of_much_is_a_stop(serve: Serve, read: Read) -> None:
    big = bytes(1_000_000)
    server = serve([[part(big, 0, len(big)), Act.HANG]], [[part(big, 5, 9)]])
    reader = read(server.url())
    begun(reader, 0, len(big), size_bytes=len(big), until=100)
    assert reader.hang_up()
    assert not reader.hang_up(), "the second time there is nothing to end"
    assert reader.position == 100
    assert read_span(reader, 5, 9, size_bytes=len(big)) == bytes(4)
    assert server.connections == 2


def test_a_little_that_is_here_already_is_drained_and_the_connection_kept(serve: Serve, read: Read) -> None:
    server = serve([[part(CONTENT, 0, SIZE)], [part(CONTENT, 5, 9)]])
    reader = read(server.url())
    begun(reader, 0, SIZE, size_bytes=SIZE, until=100)
    assert not reader.hang_up()
    assert read_span(reader, 5, 9, size_bytes=SIZE) == CONTENT[5:9]
    assert server.connections == 1


def test_a_little_that_is_not_here_yet_is_not_waited_for(serve: Serve, read: Read) -> None:
    whole = part(CONTENT, 0, SIZE)
    reader = read(serve([[whole[:-500], Act.HANG]]).url())
    begun(reader, 0, SIZE, size_bytes=SIZE, until=100)
    assert reader.hang_up()


def test_hanging_up_before_the_answer_is_a_stop(serve: Serve, read: Read) -> None:
    reader = read(serve([[Act.HANG]]).url())
    reader.open(0, 10, size_bytes=SIZE)
    assert reader.hang_up()
    assert reader.read_into(memoryview(bytearray(4))) == 0
    assert not reader.ended


def test_opening_again_hangs_up_first(serve: Serve, read: Read) -> None:
    server = serve([[Act.HANG]], [[part(CONTENT, 5, 9)]])
    reader = read(server.url())
    reader.open(0, 10, size_bytes=SIZE)
    assert read_span(reader, 5, 9, size_bytes=SIZE) == CONTENT[5:9]


def test_after_close_nothing_comes_and_closing_twice_is_fine(serve: Serve, read: Read) -> None:
    reader = read(serve([[part(CONTENT, 0, 10)]]).url())
    reader.open(0, 10, size_bytes=SIZE)
    reader.close()
    reader.close()
    assert reader.read_into(memoryview(bytearray(4))) == 0
    assert not reader.hang_up()
