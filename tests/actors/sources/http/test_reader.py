"""A transfer gives exactly the bytes asked for, or says whose fault it is."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from actors.sources import SLICE_S, HttpSettings
from protocol.model.faults import FaultKind, SourceFault
from tests.actors.sources.conftest import Read, Serve
from tests.actors.sources.reading import read_on, read_span
from tests.actors.sources.scripted import Act, Answer, answer, part

CONTENT = bytes(range(256)) * 4
SIZE = len(CONTENT)
PROBE: Answer = [part(CONTENT, 1, 2, 'ETag: "v1"')]


def fault_of_transfer(
    serve: Serve,
    read: Read,
    *pieces: bytes | Act,
    start: int = 512,
    stop: int | None = 768,
    size_bytes: int = SIZE,
    again: Answer = (),
) -> SourceFault:
    """What becomes of a transfer after a good probe, on the same connection; the server says `again` to whatever is
    asked after that."""
    more = [[each] for each in again]
    reader = read(serve([PROBE, pieces, *more], *([each] for each in more)).url())
    reader.probe()
    with pytest.raises(SourceFault) as caught:
        read_span(reader, start, stop, size_bytes=size_bytes)
    assert not reader.ended
    assert not reader.hang_up()
    return caught.value


def test_rides_follow_each_other_on_one_connection(serve: Serve, read: Read) -> None:
    server = serve([PROBE, [part(CONTENT, 0, 256)], [part(CONTENT, 256, 300)], [part(CONTENT, 1000, SIZE)]])
    reader = read(server.url())
    reader.probe()
    for start, stop in ((0, 256), (256, 300), (1000, SIZE)):
        assert read_span(reader, start, stop, size_bytes=SIZE) == CONTENT[start:stop]
        assert reader.position == stop
        assert not reader.hang_up()
    assert server.connections == 1


def test_to_the_end_is_asked_for_by_its_last_byte_when_the_size_is_known(serve: Serve, read: Read) -> None:
    server = serve([[part(CONTENT, 1000, SIZE)]])
    assert read_span(read(server.url()), 1000, None, size_bytes=SIZE) == CONTENT[1000:]
    assert server.fields(0)["range"] == "bytes=1000-1023"


def test_to_the_end_of_a_file_of_unknown_size(serve: Serve, read: Read) -> None:
    server = serve([[part(CONTENT, 1000, SIZE)]])
    assert read_span(read(server.url()), 1000, None, size_bytes=-1) == CONTENT[1000:]
    assert server.fields(0)["range"] == "bytes=1000-"


def test_a_body_in_pieces_is_given_as_it_comes(serve: Serve, read: Read) -> None:
    whole = part(CONTENT, 0, SIZE)
    pieces: list[bytes | Act] = []
    for at in range(0, len(whole), 100):
        pieces += [whole[at : at + 100], Act.PAUSE]
    assert read_span(read(serve([pieces]).url()), 0, SIZE, size_bytes=SIZE) == CONTENT


def test_no_read_waits_longer_than_a_slice_however_slow_the_bytes(serve: Serve, read: Read) -> None:
    head = part(CONTENT, 0, SIZE)[:-SIZE]
    server = serve([[head, b"abc", Act.PAUSE, b"def", Act.HANG]])
    reader = read(server.url(), settings=HttpSettings())
    reader.open(0, SIZE, size_bytes=SIZE)
    view = memoryview(bytearray(SIZE))
    longest_s = 0.0
    for _ in range(6):
        began_s = time.monotonic()
        reader.read_into(view[reader.position :])
        longest_s = max(longest_s, time.monotonic() - began_s)
    assert bytes(view[:6]) == b"abcdef"
    assert reader.position == 6
    assert longest_s < SLICE_S + 1.0  # a fully loaded machine is granted a second; waiting for 1 KiB would hang


def test_an_empty_span_is_ended_without_asking(serve: Serve, read: Read) -> None:
    server = serve()
    reader = read(server.url())
    reader.open(0, None, size_bytes=0)
    assert reader.ended
    assert not reader.hang_up()
    assert server.connections == 0


def test_an_empty_view_reads_nothing_and_ends_nothing(serve: Serve, read: Read) -> None:
    reader = read(serve([[part(CONTENT, 0, SIZE)]]).url())
    reader.open(0, SIZE, size_bytes=SIZE)
    assert reader.read_into(memoryview(b"")) == 0
    assert read_on(reader) == CONTENT


def test_a_whole_answer_serves_a_ride_from_the_beginning(serve: Serve, read: Read) -> None:
    assert read_span(read(serve([[answer("200 OK", body=CONTENT)]]).url()), 0, SIZE, size_bytes=SIZE) == CONTENT


def test_a_whole_answer_is_read_no_further_than_asked(serve: Serve, read: Read) -> None:
    head = answer("200 OK", "Content-Length: 99999999", length=False)
    reader = read(serve([[head, CONTENT, Act.HANG]]).url())
    assert read_span(reader, 0, 100, size_bytes=99999999) == CONTENT[:100]
    assert reader.hang_up(), "the server was cut off"


def test_a_server_known_to_refuse_offsets_is_asked_without_a_range(serve: Serve, read: Read) -> None:
    whole = answer("200 OK", body=CONTENT)
    server = serve([[answer("403 Forbidden")], [whole], [whole]])
    reader = read(server.url())
    assert not reader.probe().offset_ok
    assert read_span(reader, 0, SIZE, size_bytes=SIZE) == CONTENT
    assert "range" not in server.fields(2)


@pytest.mark.parametrize("size_bytes", [SIZE, -1])
def test_a_body_that_only_the_close_ends(serve: Serve, read: Read, size_bytes: int) -> None:
    reader = read(serve([[answer("200 OK", length=False), CONTENT, Act.CLOSE]]).url())
    assert read_span(reader, 0, None, size_bytes=size_bytes) == CONTENT
    assert reader.ended
    assert not reader.hang_up()


def test_a_closed_body_shorter_than_the_known_size_is_short(serve: Serve, read: Read) -> None:
    reader = read(serve([[answer("200 OK", length=False), CONTENT[:5], Act.CLOSE]]).url())
    with pytest.raises(SourceFault, match="sent 5 of 1024 bytes, then closed") as caught:
        read_span(reader, 0, None, size_bytes=SIZE)
    assert caught.value.kind == FaultKind.SHORT_BODY


def chunks(content: bytes, size: int, *, last: bytes = b"0\r\n\r\n") -> bytes:
    cut = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut) + last


@pytest.mark.parametrize("size_bytes", [SIZE, -1])
@pytest.mark.parametrize("size", [1, 7, 1024])
def test_chunks_are_put_together_and_the_connection_kept(serve: Serve, read: Read, size: int, size_bytes: int) -> None:
    head = answer("200 OK", "Transfer-Encoding: chunked", length=False)
    body = chunks(CONTENT, size)
    again = [part(CONTENT, 0, 4)]
    server = serve([[head, body[:50], Act.PAUSE, body[50:]], again], [again])
    reader = read(server.url())
    assert read_span(reader, 0, None, size_bytes=size_bytes) == CONTENT
    assert not reader.hang_up()
    assert read_span(reader, 0, 4, size_bytes=SIZE) == CONTENT[:4]
    assert server.connections == 1


def test_a_chunked_part_is_taken_by_its_content_range(serve: Serve, read: Read) -> None:
    span = f"Content-Range: bytes 512-767/{SIZE}"
    head = answer("206 Partial Content", span, "Transfer-Encoding: chunked", length=False)
    assert read_span(read(serve([[head, chunks(CONTENT[512:768], 100)]]).url()), 512, 768, size_bytes=SIZE)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (chunks(CONTENT, 100, last=b""), FaultKind.SHORT_BODY),
        (chunks(CONTENT[:100], 100), FaultKind.SHORT_BODY),
        (chunks(CONTENT[:100], 100, last=b"zz\r\n\r\n"), FaultKind.BAD_ANSWER),
    ],
)
def test_chunks_that_stop_or_break_are_a_fault(serve: Serve, read: Read, body: bytes, kind: FaultKind) -> None:
    size = SIZE + 1  # more than the chunks hold
    head = answer("200 OK", "Transfer-Encoding: chunked", length=False)
    with pytest.raises(SourceFault) as caught:
        read_span(read(serve([[head, body, Act.CLOSE]]).url()), 0, None, size_bytes=size)
    assert caught.value.kind == kind


def test_chunks_of_unknown_length_that_stop_are_short_and_not_ended(serve: Serve, read: Read) -> None:
    head = answer("200 OK", "Transfer-Encoding: chunked", length=False)
    reader = read(serve([[head, chunks(CONTENT, 100, last=b""), Act.CLOSE]]).url())
    with pytest.raises(SourceFault, match="sent 1024 bytes, then closed"):
        read_span(reader, 0, None, size_bytes=-1)
    assert not reader.ended


def test_a_short_body_is_a_fault_after_its_bytes_were_given(serve: Serve, read: Read) -> None:
    head = part(CONTENT, 0, 10)[:-10]
    reader = read(serve([[head, b"12345", Act.CLOSE]]).url())
    with pytest.raises(SourceFault, match=r"127\.0\.0\.1:\d+ sent 5 of 10 bytes, then closed") as caught:
        read_span(reader, 0, 10, size_bytes=SIZE)
    assert caught.value.kind == FaultKind.SHORT_BODY
    assert reader.position == 5


def test_a_connection_broken_in_the_body_is_reset(serve: Serve, read: Read) -> None:
    server = serve([[part(CONTENT, 0, 10)[:-10], b"12345", Act.WAIT, Act.RESET]])
    reader = read(server.url())
    reader.open(0, 10, size_bytes=SIZE)
    view = memoryview(bytearray(10))
    while reader.position < 5:
        reader.read_into(view)
    server.go_on()
    with pytest.raises(SourceFault) as caught:
        read_on(reader)
    assert caught.value.kind == FaultKind.RESET
    assert "after 5 bytes" in caught.value.detail


def test_more_than_announced_is_not_read_and_the_connection_not_used_again(serve: Serve, read: Read) -> None:
    first = part(CONTENT, 0, 10) + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    second: Answer = [part(CONTENT, 10, 20)]
    server = serve([[first], second], [second])
    reader = read(server.url())
    assert read_span(reader, 0, 10, size_bytes=SIZE) == CONTENT[:10]
    assert not reader.hang_up()
    assert read_span(reader, 10, 20, size_bytes=SIZE) == CONTENT[10:20]
    assert server.connections == 2


@pytest.mark.parametrize(
    ("span", "length", "kind"),
    [
        ("bytes 0-255/1024", 256, FaultKind.WRONG_RANGE),
        ("bytes 513-768/1024", 256, FaultKind.WRONG_RANGE),
        ("bytes 512-767/1025", 256, FaultKind.CHANGED),
        ("bytes 512-767/700", 256, FaultKind.RANGE_REFUSED),
        ("bytes 767-512/1024", 256, FaultKind.RANGE_REFUSED),
        ("bytes */1024", 256, FaultKind.RANGE_REFUSED),
        ("lines 512-767/1024", 256, FaultKind.RANGE_REFUSED),
        ("", 256, FaultKind.RANGE_REFUSED),
        ("bytes 512-" + "9" * 19 + "/*", 256, FaultKind.RANGE_REFUSED),
    ],
)
def test_a_part_must_hold_the_first_byte_asked_for(
    serve: Serve, read: Read, span: str, length: int, kind: FaultKind
) -> None:
    fields = [f"Content-Range: {span}"] if span else []
    lie = answer("206 Partial Content", *fields, body=b"x" * length)
    assert fault_of_transfer(serve, read, lie, again=[lie]).kind == kind


def test_a_part_of_several_ranges_is_refused(serve: Serve, read: Read) -> None:
    lie = answer("206 Partial Content", "Content-Type: multipart/byteranges; boundary=x", body=b"--x")
    assert fault_of_transfer(serve, read, lie, again=[lie]).kind == FaultKind.RANGE_REFUSED


@pytest.mark.parametrize(
    ("span", "body"),
    [
        ("bytes 512-767/1024", CONTENT[512:768]),
        ("bytes 512-1023/1024", CONTENT[512:]),
        ("bytes 500-900/1024", CONTENT[500:901]),
        ("bytes 0-1023/1024", CONTENT),
        ("bytes 512-767/*", CONTENT[512:768]),
        ("bytes 512-767", CONTENT[512:768]),
        ("bytes=512-767/1024", CONTENT[512:768]),
        ("512-767/1024", CONTENT[512:768]),
        ("bytes 512-1024/1024", CONTENT[512:]),
    ],
)
def test_a_part_that_has_more_than_was_asked_for_is_cut_to_it(serve: Serve, read: Read, span: str, body: bytes) -> None:
    server = serve([[answer("206 Partial Content", f"Content-Range: {span}", body=body)]])
    assert read_span(read(server.url()), 512, 768, size_bytes=SIZE) == CONTENT[512:768]


def test_a_part_that_is_shorter_than_asked_for_is_taken_and_the_rest_asked_for(serve: Serve, read: Read) -> None:
    server = serve([[part(CONTENT, 512, 600)], [part(CONTENT, 590, 700)], [part(CONTENT, 700, 768)]])
    assert read_span(read(server.url()), 512, 768, size_bytes=SIZE) == CONTENT[512:768]
    assert [server.fields(n)["range"] for n in range(3)] == ["bytes=512-767", "bytes=600-767", "bytes=700-767"]


def test_a_200_that_says_a_range_is_a_part(serve: Serve, read: Read) -> None:
    words = part(CONTENT, 512, 768).replace(b"206 Partial Content", b"200 OK")
    assert read_span(read(serve([[words]]).url()), 512, 768, size_bytes=SIZE) == CONTENT[512:768]


def test_a_part_without_a_total_is_taken(serve: Serve, read: Read) -> None:
    span = "Content-Range: bytes 512-767/*"
    server = serve([[answer("206 Partial Content", span, body=CONTENT[512:768])]])
    assert read_span(read(server.url()), 512, 768, size_bytes=SIZE) == CONTENT[512:768]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (part(CONTENT, 512, 768, 'ETag: "v2"'), FaultKind.CHANGED),
        (answer("200 OK", 'ETag: "v2"', body=CONTENT), FaultKind.CHANGED),
        (answer("200 OK", body=CONTENT + b"x"), FaultKind.CHANGED),
        (answer("200 OK", 'ETag: "v1"', body=CONTENT), FaultKind.RANGE_REFUSED),
        (answer("200 OK", body=CONTENT), FaultKind.RANGE_REFUSED),
        (answer("416 Range Not Satisfiable", "Content-Range: bytes */1024"), FaultKind.RANGE_REFUSED),
        (answer("416 Range Not Satisfiable"), FaultKind.RANGE_REFUSED),
        (answer("416 Range Not Satisfiable", "Content-Range: bytes */5"), FaultKind.CHANGED),
        (part(CONTENT, 512, 768, "Content-Encoding: zstd"), FaultKind.ENCODED),
        (part(CONTENT, 512, 768, "Content-Encoding: gzip"), FaultKind.RANGE_REFUSED),
        (answer("200 OK", "Content-Encoding: br", body=b"x"), FaultKind.ENCODED),
        (answer("429 Too Many Requests"), FaultKind.BUSY),
        (answer("503 Service Unavailable"), FaultKind.BUSY),
        (answer("404 Not Found"), FaultKind.NOT_FOUND),
        (answer("410 Gone"), FaultKind.NOT_FOUND),
        (answer("401 Unauthorized"), FaultKind.FORBIDDEN),
        (answer("403 Forbidden"), FaultKind.FORBIDDEN),
        (answer("407 Proxy Authentication Required"), FaultKind.FORBIDDEN),
        (answer("500 Internal Server Error"), FaultKind.SERVER_ERROR),
        (answer("502 Bad Gateway"), FaultKind.SERVER_ERROR),
        (answer("599 Whatever"), FaultKind.SERVER_ERROR),
        (answer("418 I'm a teapot"), FaultKind.BAD_ANSWER),
        (answer("300 Multiple Choices"), FaultKind.BAD_ANSWER),
        (b"HTTP/1.1 204 No Content\r\n\r\n", FaultKind.BAD_ANSWER),
        (b"\x00\x01\x02", FaultKind.BAD_ANSWER),
    ],
)
def test_every_other_answer_has_its_fault(serve: Serve, read: Read, words: bytes, kind: FaultKind) -> None:
    fault = fault_of_transfer(serve, read, words, again=[words, words])
    assert fault.kind == kind
    assert "127.0.0.1" in fault.detail
    assert "\n" not in fault.detail


def test_a_file_changed_under_a_ride_from_the_beginning_is_noticed(serve: Serve, read: Read) -> None:
    changed = answer("200 OK", 'ETag: "v2"', body=CONTENT)
    assert fault_of_transfer(serve, read, changed, start=0, stop=None).kind == FaultKind.CHANGED
    longer = answer("200 OK", body=CONTENT + b"!")
    assert fault_of_transfer(serve, read, longer, start=0, stop=None).kind == FaultKind.CHANGED


def test_the_phrase_of_a_status_is_the_standards_not_the_servers(serve: Serve, read: Read) -> None:
    fault = fault_of_transfer(serve, read, answer("503 hunter2"))
    assert "503 Service Unavailable" in fault.detail
    assert "hunter2" not in fault.detail


@pytest.mark.parametrize(
    ("fields", "low_s", "high_s"),
    [
        (["Retry-After: 7"], 7, 7),
        (["Retry-After: 99999999999999999999"], 3600, 3600),
        (["Retry-After: -1"], 0, 0),
        (["Retry-After: soon"], 0, 0),
        (["Retry-After: ²"], 0, 0),
        (["Retry-After: Tue, 01 Jul 2025 10:00:30 GMT", "Date: Tue, 01 Jul 2025 10:00:00 GMT"], 30, 30),
        (["Retry-After: Tue, 01 Jul 2003 10:00:30 GMT"], 0, 0),
        ([], 0, 0),
    ],
)
def test_a_busy_server_says_when_to_come_again(
    serve: Serve, read: Read, fields: list[str], low_s: float, high_s: float
) -> None:
    for status in ("503 Service Unavailable", "429 Too Many Requests"):
        assert low_s <= fault_of_transfer(serve, read, answer(status, *fields)).retry_after_s <= high_s


def test_a_date_to_come_again_is_taken_from_our_clock_where_the_server_tells_none(serve: Serve, read: Read) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=1800), usegmt=True)
    fault = fault_of_transfer(serve, read, answer("503 Service Unavailable", f"Retry-After: {date}"))
    assert 900 <= fault.retry_after_s <= 1800


def test_a_kept_connection_that_the_server_closed_is_replaced_silently(serve: Serve, read: Read) -> None:
    server = serve([PROBE, [Act.CLOSE]], [[part(CONTENT, 512, 768)]])
    reader = read(server.url())
    reader.probe()
    assert read_span(reader, 512, 768, size_bytes=SIZE) == CONTENT[512:768]
    assert server.connections == 2


def test_a_kept_connection_that_the_server_resets_is_replaced_silently(serve: Serve, read: Read) -> None:
    server = serve([PROBE, [Act.RESET]], [[part(CONTENT, 512, 768)]])
    reader = read(server.url())
    reader.probe()
    assert read_span(reader, 512, 768, size_bytes=SIZE) == CONTENT[512:768]


def test_it_is_replaced_once_only(serve: Serve, read: Read) -> None:
    server = serve([PROBE, [Act.CLOSE]], [[Act.CLOSE]], [[part(CONTENT, 512, 768)]])
    reader = read(server.url())
    reader.probe()
    with pytest.raises(SourceFault) as caught:
        read_span(reader, 512, 768, size_bytes=SIZE)
    assert caught.value.kind == FaultKind.RESET


@pytest.mark.parametrize("closing", [["Connection: close"], ["Connection: Keep-Alive, Close"]])
def test_a_connection_the_server_wants_closed_is_not_used_again(serve: Serve, read: Read, closing: list[str]) -> None:
    second: Answer = [part(CONTENT, 10, 20)]
    server = serve([[part(CONTENT, 0, 10, *closing)], second], [second])
    reader = read(server.url())
    assert read_span(reader, 0, 10, size_bytes=SIZE) == CONTENT[:10]
    assert read_span(reader, 10, 20, size_bytes=SIZE) == CONTENT[10:20]
    assert server.connections == 2
