"""A window of a remote file, which stands in the address, is a file of its own to everything else."""

import pytest

from protocol.model.faults import FaultKind, SourceFault
from protocol.model.source_url import Window, window_of, windowed
from tests.actors.sources.conftest import Read, Serve
from tests.actors.sources.reading import read_span
from tests.actors.sources.scripted import Answer, answer, part

URL = "https://mirror.example/big.iso?a=1"
CONTENT = bytes(range(256)) * 4
SIZE = len(CONTENT)
WINDOW = Window(300, 800, SIZE)
PROBE: Answer = [part(CONTENT, 1, 2, 'ETag: "v1"', "Link: <https://other.example/big.iso>; rel=duplicate")]


def test_the_window_stands_in_the_fragment() -> None:
    assert windowed(f"{URL}#old", WINDOW) == f"{URL}#bytes=300-799/1024"
    assert window_of(windowed(URL, WINDOW)) == WINDOW


@pytest.mark.parametrize("fragment", ["", "#part", "#bytes=5-4/10", "#bytes=0-10/10", "#bytes=0-9/", "#bytes=a-9/10"])
def test_any_other_fragment_is_none(fragment: str) -> None:
    assert window_of(URL + fragment) is None


def test_a_window_is_read_like_a_file_from_any_byte(serve: Serve, read: Read) -> None:
    server = serve([PROBE, [part(CONTENT, 300, 800)], [part(CONTENT, 350, 360)], [part(CONTENT, 700, 800)]])
    reader = read(windowed(server.url(), WINDOW))
    probed = reader.probe()
    assert (probed.size_bytes, probed.offset_ok, probed.described.mirrors) == (500, True, ())
    for start, stop in ((0, None), (50, 60), (400, 500)):
        end = 800 if stop is None else 300 + stop
        assert read_span(reader, start, stop, size_bytes=500) == CONTENT[300 + start : end]
        assert reader.position == end - 300
    assert b"#" not in server.requests[0]


def test_a_file_of_another_size_is_not_the_one_that_was_divided(serve: Serve, read: Read) -> None:
    reader = read(windowed(serve([PROBE]).url(), Window(0, 10, SIZE + 1)))
    with pytest.raises(SourceFault) as caught:
        reader.probe()
    assert caught.value.kind is FaultKind.CHANGED


def test_a_server_without_ranges_can_send_the_first_window_only(serve: Serve, read: Read) -> None:
    whole = [answer("200 OK", body=CONTENT)]
    with pytest.raises(SourceFault) as caught:
        read(windowed(serve([whole], [whole], [whole], [whole]).url(), WINDOW)).probe()
    assert caught.value.kind is FaultKind.RANGE_REFUSED
    reader = read(windowed(serve([whole], [whole], [whole], [whole]).url(), Window(0, 100, SIZE)))
    assert reader.probe().size_bytes == 100
    assert read_span(reader, 0, 100, size_bytes=100) == CONTENT[:100]
