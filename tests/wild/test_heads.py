"""Heads that are not as the standard has them, read as leniently as curl does while it is clear where the body ends."""

import pytest

from protocol.model.faults import FaultKind
from tests.wild.conftest import DATA, Serve, fault_of, fetch
from tests.wild.server import File, Reply, Request

FILE = File(DATA)
SIZE = len(DATA)


@pytest.mark.parametrize(
    "fields",
    [
        ["X-Cache : HIT"],
        ["X Odd Name: x", "X@Y: z", ": nothing", "=?: x"],
        ["PHP Warning  some junk without colon"],
        ["X-Long: a\r\n  b\r\n\tc"],
        ["Junk without colon\r\n  and a second line of it"],
        [f"X-Pad-{number}: {'p' * 7000}" for number in range(12)],
        ["X-Control: a\x01b\x7fc", "X-Nul: a\x00b"],
        ["X-Latin: caf\udce9", "X-Utf: größe"],
        ["X-Bare: a\rb"],
        ["Transfer-Encoding: identity"],
        [f"Content-Length: {SIZE}"] * 2,
        [f"Content-Length: {'0' * 20}{SIZE}, {'0' * 20}{SIZE}"],
        ["Connection: Keep-Alive", "Keep-Alive: timeout=5"],
    ],
)
def test_odd_fields_are_passed_over(serve: Serve, fields: list[str]) -> None:
    server = serve(lambda request, reply: FILE(request, reply, *fields, ranged=False))
    assert fetch(server.url()).data == DATA


@pytest.mark.parametrize(
    "line",
    [
        "HTTP/2.0 200 OK",
        "HTTP/2 200",
        "HTTP/1.1 200",
        "HTTP/1.0 200 OK",
        "HTTP/1.1  200  OK",
        "HTTP 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1 200 \udce4\udcf6",
        "\r\n\r\nHTTP/1.1 200 OK",
        "ICY 200 OK",
    ],
)
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_odd_status_lines_and_line_ends_are_read(serve: Serve, line: str, end: str) -> None:
    def odd(request: Request, reply: Reply) -> bool:
        head = end.join([line, f"Content-Length: {SIZE}", "", ""])
        reply.raw(head.encode("utf-8", "surrogateescape") + DATA)
        return True

    assert fetch(serve(odd).url()).data == DATA


def test_answers_before_the_answer_are_passed_over(serve: Serve) -> None:
    def hinting(request: Request, reply: Reply) -> bool:
        reply.head("100 Continue")
        reply.head("103 Early Hints", "Link: </x>; rel=preload")
        return FILE(request, reply)

    assert fetch(serve(hinting).url()).data == DATA


def test_answers_before_the_answer_have_an_end(serve: Serve) -> None:
    def hinting(request: Request, reply: Reply) -> bool:
        while True:
            reply.raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 500)

    fault = fault_of(serve(hinting).url())
    assert (fault.kind, fault.detail.partition(" ")[2]) == (FaultKind.BAD_ANSWER, "sends a head without end")


def test_a_body_that_only_the_end_of_the_connection_ends(serve: Serve) -> None:
    def old(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", version="HTTP/1.0")
        reply.raw(DATA)
        return False

    assert fetch(serve(old).url()).data == DATA


def test_more_bytes_than_announced_are_not_the_files(serve: Serve) -> None:
    def generous(request: Request, reply: Reply) -> bool:
        FILE(request, reply)
        reply.raw(b"EXTRA" * 1000)
        return False

    assert fetch(serve(generous).url()).data == DATA


@pytest.mark.parametrize("length", ["+{}", "{};", "{} bytes", "{}.0", "0{}"])
def test_a_length_with_something_about_it_counts_and_the_connection_ends(serve: Serve, length: str) -> None:
    def odd(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", f"Content-Length: {length.format(len(DATA))}", "Accept-Ranges: bytes")
        reply.raw(DATA)
        return True

    assert fetch(serve(odd).url()).data == DATA


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["Content-Length: -1148461791"], "no clear length"),
        (["Content-Length: 5", "Content-Length: 6"], "no clear length"),
        (["Content-Length: 5, 6"], "no clear length"),
        (["Content-Length: 0x10"], "no clear length"),
        (["Content-Length: " + "9" * 30], "a length that no file has"),
        (["Transfer-Encoding: gzip, deflate, chunked"], "transfer coding"),
        (["Transfer-Encoding: chunked, gzip"], "transfer coding"),
        (["Transfer-Encoding: x"], "transfer coding"),
    ],
)
def test_a_body_whose_end_is_unclear_is_refused_in_words(serve: Serve, fields: list[str], words: str) -> None:
    def unclear(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", *fields)
        reply.raw(b"0\r\n\r\n")
        return False

    fault = fault_of(serve(unclear).url())
    assert fault.kind is FaultKind.BAD_ANSWER
    assert words in fault.detail


@pytest.mark.parametrize(
    "fields",
    [
        ["Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: chunked", "transfer-encoding: chunked"],
    ],
)
def test_where_chunks_and_a_length_contradict_the_chunks_count_and_the_connection_ends(
    serve: Serve, fields: list[str]
) -> None:
    taken = []

    def both(request: Request, reply: Reply) -> bool:
        taken.append(request)
        reply.head("200 OK", *fields)
        reply.raw(b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        return True

    assert fetch(serve(both).url()).data == b"hello"


def chunks(reply: Reply, data: bytes, size: int, extension: bytes = b"", trailer: bytes = b"") -> None:
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        reply.raw(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece))
    reply.raw(b"0\r\n%b\r\n" % trailer)


def test_chunks_with_extensions_and_trailers_are_read(serve: Serve) -> None:
    def chunked(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum")
        chunks(reply, DATA, 50_000, b";name=value", b"X-Sum: abc\r\n")
        return True

    assert fetch(serve(chunked).url()).data == DATA


@pytest.mark.parametrize("bomb", [b"1;" + b"x" * 8000 + b"\r\na\r\n", b"1;" + b"x" * 500_000])
def test_a_bomb_of_chunk_framing_ends_with_words(serve: Serve, bomb: bytes) -> None:
    def bombing(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Transfer-Encoding: chunked")
        for _ in range(2000):
            reply.raw(bomb)
        return False

    fault = fault_of(serve(bombing).url())
    assert fault.kind is FaultKind.BAD_ANSWER
    assert "chunk" in fault.detail


@pytest.mark.parametrize("behind", [b"", b"X-Sum: a\r\n", b"X: y\r\n" * 400_000])
def test_behind_the_last_chunk_nothing_is_waited_for(serve: Serve, behind: bytes) -> None:
    def open_ended(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Transfer-Encoding: chunked")
        reply.raw(b"%x\r\n%b\r\n0\r\n%b" % (len(DATA), DATA, behind))
        return True  # the connection stays open

    got = fetch(serve(open_ended).url())
    assert (got.data, got.faults) == (DATA, [])


@pytest.mark.parametrize(
    "framing",
    [
        b"5\r\nhello\r\n0\r\n",
        b"000000000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-Sum: a\r\n",
        b'5 \t; a="b;c"\r\nhello\r\n0;x\r\n\r\n',
        b"5\nhello\n0\n\n",
        b"00005\r\nhello\r\n0000\r\nno colon\r\nContent-Length: 9\r\n fold\r\n\r\n",
    ],
    ids=[
        "no last line",
        "many zeros",
        "cut in the trailer",
        "blanks before an extension",
        "bare line feeds",
        "odd trailers",
    ],
)
def test_chunks_are_read_as_browsers_read_them(serve: Serve, framing: bytes) -> None:
    def chunked(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Transfer-Encoding: chunked")
        reply.raw(framing)
        return False

    got = fetch(serve(chunked).url())
    assert (got.data, got.faults) == (b"hello", [])


@pytest.mark.parametrize("framing", [b"0x5", b"-5", b" 5", b"5 5", b"g", b"", b"f" * 17, b"5\r\nhelloX"])
def test_chunks_whose_length_is_unclear_are_refused(serve: Serve, framing: bytes) -> None:
    def chunked(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Transfer-Encoding: chunked")
        reply.raw(framing + b"\r\nhello\r\n0\r\n\r\n")
        return False

    fault = fault_of(serve(chunked).url())
    assert (fault.kind, "broken chunks" in fault.detail) == (FaultKind.BAD_ANSWER, True)


@pytest.mark.parametrize("cut", [b"5\r\nhel", b"5\r\nhello\r\n", b"5\r\nhello\r\n0"])
def test_chunks_that_break_off_are_not_the_whole_file(serve: Serve, cut: bytes) -> None:
    def breaking(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Transfer-Encoding: chunked")
        reply.raw(cut)
        return False

    assert fault_of(serve(breaking).url()).kind is FaultKind.SHORT_BODY


def test_a_reset_in_a_body_of_unknown_length_is_not_its_end(serve: Serve) -> None:
    def resetting(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", version="HTTP/1.0")
        reply.raw(DATA[:100_000])
        reply.reset()
        return False

    assert fault_of(serve(resetting).url()).kind is FaultKind.RESET


@pytest.mark.parametrize("words", [b"SSH-2.0-x\r\n", b"ICE 200 OK\r\n\r\n", b"<html>", b"HTTP/1.1 99 x\r\n\r\n"])
def test_what_is_no_http_is_refused_at_once(serve: Serve, words: bytes) -> None:
    def foreign(request: Request, reply: Reply) -> bool:
        reply.raw(words)
        return True

    assert fault_of(serve(foreign).url()).kind is FaultKind.BAD_ANSWER


def test_a_head_that_comes_a_few_bytes_at_a_time_is_read(serve: Serve) -> None:
    def dribbling(request: Request, reply: Reply) -> bool:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nX-Odd: \r\n\r\n".encode()
        for at in range(0, len(head), 3):
            reply.raw(head[at : at + 3])
        reply.raw(DATA)
        return True

    assert fetch(serve(dribbling).url()).data == DATA
