"""Ranges as servers give them: shorter, earlier, misspelt, refused now and then, by nodes that disagree."""

import threading
from functools import partial

import pytest

from actors.sources import Reader, open_reader
from protocol.model.faults import FaultKind, SourceFault
from tests.wild.conftest import DATA, HASTY, Serve, fault_of, fetch
from tests.wild.server import File, Reply, Request

SIZE = len(DATA)
FILE = File(DATA)
CUT = 200_000
PROBES = pytest.mark.parametrize("whole", [True, False], ids=["whole", "offset"])


def read_all(reader: Reader) -> None:
    view = memoryview(bytearray(4096))
    while not reader.ended:
        reader.read_into(view)


def part(reply: Reply, start: int, stop: int, span: str, *fields: str, status: str = "206 Partial Content") -> bool:
    reply.head(status, f"Content-Range: {span}", f"Content-Length: {stop - start}", *fields)
    reply.raw(DATA[start:stop])
    return True


@PROBES
def test_a_200_with_a_content_range_is_a_part(serve: Serve, whole: bool) -> None:
    server = serve(lambda request, reply: FILE(request, reply, status="200 OK", cut=CUT))
    assert fetch(server.url(), whole=whole).data == DATA


@PROBES
def test_parts_shorter_than_asked_for_are_taken_and_asked_on(serve: Serve, whole: bool) -> None:
    def capped(request: Request, reply: Reply) -> bool:
        start, stop = request.range(SIZE) or (0, SIZE)
        stop = min(stop, start + 100_000)
        return part(reply, start, stop, f"bytes {start}-{stop - 1}/{SIZE}")

    got = fetch(serve(capped).url(), whole=whole)
    assert (got.data, got.faults) == (DATA, [])


@PROBES
def test_parts_that_begin_earlier_have_the_overlap_dropped(serve: Serve, whole: bool) -> None:
    def aligned(request: Request, reply: Reply) -> bool:
        start, stop = request.range(SIZE) or (0, SIZE)
        start = start // 50_000 * 50_000
        stop = min(stop, start + 170_000)
        return part(reply, start, stop, f"bytes {start}-{stop - 1}/{SIZE}")

    got = fetch(serve(aligned).url(), whole=whole)
    assert (got.data, got.faults) == (DATA, [])


@PROBES
@pytest.mark.parametrize("etag", ['"v1"', ""])
def test_a_server_that_breaks_each_connection_before_a_chunk_is_complete_is_asked_on(
    serve: Serve, whole: bool, etag: str
) -> None:
    server = serve(lambda request, reply: FILE(request, reply, cut=50_000, etag=etag, modified=etag))
    got = fetch(server.url(), whole=whole)
    assert (got.data, got.faults) == (DATA, [])


def test_a_file_that_is_another_one_after_a_break_is_noticed_without_a_validator(serve: Serve) -> None:
    other = bytes(byte ^ 1 for byte in DATA)

    def replaced(request: Request, reply: Reply) -> bool:
        data = DATA if len(server.requests) == 1 else other
        return File(data, etag="", modified="")(request, reply, cut=50_000)

    server = serve(replaced)
    assert fault_of(server.url()).kind is FaultKind.CHANGED


def test_a_server_that_breaks_each_connection_at_once_is_not_asked_on_without_rest(serve: Serve) -> None:
    server = serve(lambda request, reply: FILE(request, reply, cut=5_000))
    assert fault_of(server.url()).kind is FaultKind.SHORT_BODY
    assert len(server.requests) < 20


@PROBES
@pytest.mark.parametrize("limit", [300_000, 140_000])
@pytest.mark.parametrize("status", ["403 Forbidden", "400 Bad Request", "416 Range Not Satisfiable", "500 Oops"])
def test_a_server_that_refuses_large_ranges_gets_smaller_ones(
    serve: Serve, whole: bool, limit: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.sources.http.range.SPANS", (256_000, 128_000))

    def strict(request: Request, reply: Reply) -> bool:
        wanted = request.range(SIZE)
        if wanted is None or wanted[1] - wanted[0] > limit:
            reply.head(status, "Content-Length: 0")
            return True
        return FILE(request, reply)

    assert fetch(serve(strict).url(), whole=whole).data == DATA


@PROBES
def test_a_condition_that_is_never_fulfilled_is_left_out(serve: Serve, whole: bool) -> None:
    def never(request: Request, reply: Reply) -> bool:
        return FILE(request, reply, cut=CUT, ranged="if-range" not in request.fields)

    assert fetch(serve(never).url(), whole=whole).data == DATA


@PROBES
@pytest.mark.parametrize(
    "status", ["304 Not Modified", "400 Bad Request", "412 Precondition Failed", "416 No", "501 No"]
)
def test_a_condition_that_is_refused_is_left_out(serve: Serve, whole: bool, status: str) -> None:
    def strict(request: Request, reply: Reply) -> bool:
        if "if-range" in request.fields:
            reply.head(status, "Content-Length: 0")
            return True
        return FILE(request, reply, cut=200_000)

    assert fetch(serve(strict).url(), whole=whole).data == DATA


@PROBES
@pytest.mark.parametrize("answer", ["reset", "close", "400 Bad Request", "405 No", "501 No"])
def test_a_server_that_wants_a_plain_request_gets_one(serve: Serve, whole: bool, answer: str) -> None:
    def strict(request: Request, reply: Reply) -> bool:
        if not {"range", "want-repr-digest"} & request.fields.keys():
            return FILE(request, reply, ranged=False)
        if answer == "reset":
            reply.reset()
        elif answer != "close":
            reply.head(answer, "Content-Length: 0")
        return False

    assert fetch(serve(strict).url(), whole=whole).data == DATA


@PROBES
@pytest.mark.parametrize(
    "status", ["203 Non-Authoritative Information", "206 Partial Content", "201 Created", "226 IM Used", "299 Fine"]
)
def test_the_whole_file_with_another_status(serve: Serve, whole: bool, status: str) -> None:
    server = serve(lambda request, reply: FILE(request, reply, status=status, ranged=False))
    assert fetch(server.url(), whole=whole).data == DATA


@PROBES
@pytest.mark.parametrize("nth", [2, 3])
def test_a_200_among_parts_is_not_the_end_of_offsets(serve: Serve, whole: bool, nth: int) -> None:
    server = serve(lambda request, reply: FILE(request, reply, cut=CUT, ranged=request.number % nth != 0))
    assert fetch(server.url(), whole=whole).data == DATA


@PROBES
@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "410 Gone", "500 Oops", "502 Bad Gateway"])
def test_an_odd_refusal_in_the_middle_is_passed_over(serve: Serve, whole: bool, status: str) -> None:
    def moody(request: Request, reply: Reply) -> bool:
        if request.number in (3, 4):
            reply.head(status, "Content-Length: 0")
            return True
        return FILE(request, reply, cut=CUT)

    assert fetch(serve(moody).url(), whole=whole).data == DATA


@PROBES
def test_an_error_page_with_status_200_in_the_middle_is_not_the_file(serve: Serve, whole: bool) -> None:
    def portal(request: Request, reply: Reply) -> bool:
        if request.number == 3:
            reply.head("200 OK", "Content-Type: text/html", "Content-Length: 18")
            reply.raw(b"<html>busy</html>\n")
            return True
        return FILE(request, reply, cut=CUT)

    got = fetch(serve(portal).url(), whole=whole)
    assert got.data == DATA
    assert FaultKind.CHANGED in [fault.kind for fault in got.faults]


@PROBES
@pytest.mark.parametrize("span", ["bytes {}-{}/*", "bytes={}-{}/{}", "bytes: {}-{}/{}", "{}-{}/{}", "bytes {}-{}"])
def test_odd_spellings_of_a_content_range_are_read(serve: Serve, whole: bool, span: str) -> None:
    def misspelt(request: Request, reply: Reply) -> bool:
        start, stop = request.range(SIZE) or (0, SIZE)
        if start >= SIZE:
            reply.head("416 Range Not Satisfiable", "Content-Length: 0")
            return True
        return part(reply, start, stop, span.format(start, stop - 1, SIZE), 'ETag: "v1"')

    assert fetch(serve(misspelt).url(), whole=whole).data == DATA


@PROBES
def test_an_end_that_is_counted_exclusively_is_understood(serve: Serve, whole: bool) -> None:
    def off_by_one(request: Request, reply: Reply) -> bool:
        start, stop = request.range(SIZE) or (0, SIZE)
        return part(reply, start, stop, f"bytes {start}-{stop}/{SIZE}")

    assert fetch(serve(off_by_one).url(), whole=whole).data == DATA


@PROBES
def test_a_part_that_announces_the_whole_files_length_is_that_part(serve: Serve, whole: bool) -> None:
    def boastful(request: Request, reply: Reply) -> bool:
        start, stop = request.range(SIZE) or (0, SIZE)
        reply.head("206 Partial Content", f"Content-Range: bytes {start}-{stop - 1}/{SIZE}", f"Content-Length: {SIZE}")
        reply.raw(DATA[start:stop])
        return False

    assert fetch(serve(boastful).url(), whole=whole).data == DATA


@PROBES
def test_several_ranges_in_one_body_are_not_taken_for_the_file(serve: Serve, whole: bool) -> None:
    def multipart(request: Request, reply: Reply) -> bool:
        wanted = request.range(SIZE)
        if wanted is None:
            return FILE(request, reply)
        body = b"--X\r\n\r\n" + DATA[wanted[0] : wanted[1]] + b"\r\n--X--\r\n"
        reply.head(
            "206 Partial Content", "Content-Type: multipart/byteranges; boundary=X", f"Content-Length: {len(body)}"
        )
        reply.raw(body)
        return True

    assert fetch(serve(multipart).url(), whole=whole).data == DATA


@PROBES
def test_short_parts_of_a_file_whose_size_nothing_says_are_not_its_end(serve: Serve, whole: bool) -> None:
    def capped(request: Request, reply: Reply) -> bool:
        start, stop = request.range(SIZE) or (0, SIZE)
        if start >= SIZE:
            reply.head("416 Range Not Satisfiable", "Content-Length: 0")
            return True
        stop = min(stop, start + 150_000)
        return part(reply, start, stop, f"bytes {start}-{stop - 1}/*")

    got = fetch(serve(capped).url(), whole=whole)
    assert (got.probed.size_bytes, got.data) == (-1, DATA)


@PROBES
@pytest.mark.parametrize("offers", ["none", ""])
def test_a_server_without_ranges_that_breaks_off_is_read_from_the_start(serve: Serve, whole: bool, offers: str) -> None:
    def plain(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", f"Content-Length: {SIZE}", *([f"Accept-Ranges: {offers}"] * bool(offers)))
        reply.raw(DATA[:500_000] if request.number <= 2 else DATA)
        return False

    assert fetch(serve(plain).url(), whole=whole).data == DATA


@PROBES
@pytest.mark.parametrize(
    ("etags", "dates"),
    [
        (['"a"', '"b"', '"c"'], ["00"]),
        ([""], ["00", "03"]),
        (['"a"', '"b"'], ["00", "03"]),
        (['W/"v1"', '"v1"'], ["00"]),
        (['"v1"', 'W/"v1"'], ["00", "30"]),
    ],
    ids=["etag by node", "date by node", "both by node", "weak and strong", "weak, dates apart"],
)
def test_nodes_that_disagree_about_validators_give_one_file(
    serve: Serve, whole: bool, etags: list[str], dates: list[str]
) -> None:
    def node(request: Request, reply: Reply) -> bool:
        modified = f"Tue, 03 Nov 2026 10:00:{dates[request.number % len(dates)]} GMT"
        return FILE(request, reply, cut=CUT, etag=etags[request.number % len(etags)], modified=modified)

    assert fetch(serve(node).url(), whole=whole).data == DATA


@PROBES
@pytest.mark.parametrize(
    ("etag", "second"),
    [('"v2"', "11:00:00"), ('"v2"', "10:00:00"), ('"v2"', "10:00:07"), ("", "10:00:07"), ("", "10:00:00")],
    ids=["all differ", "same date", "date near", "date near, no tag", "nothing differs"],
)
def test_a_file_that_is_replaced_in_the_middle_is_not_mixed(serve: Serve, whole: bool, etag: str, second: str) -> None:
    other = File(DATA[::-1], etag=etag, modified=f"Tue, 03 Nov 2026 {second} GMT")
    before = File(DATA, etag='"v1"' if etag else "")

    def replaced(request: Request, reply: Reply) -> bool:
        return before(request, reply, cut=CUT) if request.number <= 2 else other(request, reply, cut=CUT)

    assert fault_of(serve(replaced).url(), whole=whole).kind is FaultKind.CHANGED


def test_a_link_that_is_good_for_one_request_is_downloaded_by_it(serve: Serve) -> None:
    def once(request: Request, reply: Reply) -> bool:
        if request.number > 1:
            reply.head("404 Not Found", "Content-Length: 0")
            return True
        reply.head("200 OK", f"Content-Length: {SIZE}")
        reply.raw(DATA)
        return True

    server = serve(once)
    assert fetch(server.url()).data == DATA
    assert server.ranges == ["bytes=0-"]


def test_a_small_file_takes_one_request(serve: Serve) -> None:
    small = File(b"small")
    server = serve(small)
    assert fetch(server.url()).data == b"small"
    assert len(server.requests) == 1


@pytest.mark.parametrize("data", [b"", b"x"])
@PROBES
def test_tiny_files(serve: Serve, whole: bool, data: bytes) -> None:
    assert fetch(serve(File(data)).url(), whole=whole).data == data


@pytest.mark.parametrize("status", ["202 Accepted", "204 No Content", "205 Reset Content", "207 Multi-Status"])
def test_a_success_without_a_file_is_no_empty_file(serve: Serve, status: str) -> None:
    def without(request: Request, reply: Reply) -> bool:
        reply.head(status, "Content-Length: 0")
        return True

    fault = fault_of(serve(without).url())
    assert fault.kind is (FaultKind.BUSY if status.startswith("202") else FaultKind.BAD_ANSWER)
    assert status[:3] in fault.detail


def _in_parts(request: Request, reply: Reply, *, cut: int, framing: str, preamble: str = "", extra: str = "") -> bool:
    """Answer a range as one part of several, of at most `cut` bytes, or as two parts."""
    span = request.range(len(DATA))
    if span is None:
        return FILE(request, reply)
    parts = [(span[0], min(span[1], span[0] + cut)), (0, 10)]
    body = preamble.encode()
    for start, stop in parts:
        lines = ["--THIS", "Content-Type: application/octet-stream", f"{extra}Content-Range: bytes {start}-{stop - 1}"]
        body += "\r\n".join(lines).encode() + f"/{len(DATA)}\r\n\r\n".encode() + DATA[start:stop] + b"\r\n"
    body += b"--THIS--\r\n"
    kind = "Content-Type: multipart/byteranges; boundary=THIS"
    if framing == "chunked":
        reply.head("206 Partial Content", kind, "Transfer-Encoding: chunked", 'ETag: "v1"')
        halves = body[: len(body) // 2], body[len(body) // 2 :]
        reply.raw(b"".join(b"%x\r\n%b\r\n" % (len(half), half) for half in halves) + b"0\r\n\r\n")
        return True
    length = [f"Content-Length: {len(body)}"] * (framing == "length")
    reply.head("206 Partial Content", kind, 'ETag: "v1"', *length)
    for half in (body[:40], body[40:]):  # its head comes in pieces too
        reply.raw(half)
    return framing == "length"


@PROBES
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("preamble", ["", "\r\n"])
def test_the_first_of_several_parts_is_the_part(serve: Serve, whole: bool, framing: str, preamble: str) -> None:
    server = serve(partial(_in_parts, cut=300_000, framing=framing, preamble=preamble))
    got = fetch(server.url(), whole=whole)
    assert (got.data, got.probed.size_bytes, got.faults) == (DATA, SIZE, [])
    assert len(server.requests) == 3 + (not whole), "each brings what its part has"


def test_parts_whose_place_no_one_says_are_read_from_the_start(serve: Serve) -> None:
    server = serve(partial(_in_parts, cut=300_000, framing="length", extra="X-"))
    assert fetch(server.url()).data == DATA


@PROBES
def test_parts_in_chunks_are_parts(serve: Serve, whole: bool) -> None:
    def chunked(request: Request, reply: Reply) -> bool:
        start, stop = request.range(SIZE) or (0, SIZE)
        stop = min(stop, start + CUT)
        reply.head(
            "206 Partial Content", f"Content-Range: bytes {start}-{stop - 1}/{SIZE}", "Transfer-Encoding: chunked"
        )
        reply.raw(b"%x\r\n%b\r\n0\r\n\r\n" % (stop - start, DATA[start:stop]))
        return True

    got = fetch(serve(chunked).url(), whole=whole)
    assert (got.data, got.faults) == (DATA, [])


@PROBES
@pytest.mark.parametrize("status", ["304 Not Modified", "416 Range Not Satisfiable", "509 Bandwidth Limit Exceeded"])
def test_an_odd_answer_now_and_then_is_asked_past(serve: Serve, whole: bool, status: str) -> None:
    def moody(request: Request, reply: Reply) -> bool:
        if request.number % 3 == 0:
            reply.head(status, *[f"Content-Range: bytes */{SIZE}"] * status.startswith("416"), "Content-Length: 0")
            return True
        return FILE(request, reply, cut=CUT)

    assert fetch(serve(moody).url(), whole=whole).data == DATA


@PROBES
def test_a_server_that_never_answers_a_range_is_asked_without(serve: Serve, whole: bool) -> None:
    asked_plainly = threading.Event()

    def mute(request: Request, reply: Reply) -> bool:
        if request.range(SIZE):
            asked_plainly.wait(5 * HASTY.head_timeout_s)
            return False
        asked_plainly.set()
        return FILE(request, reply, ranged=False)

    reader = open_reader(serve(mute).url(), user_agent="shoal-test", settings=HASTY)
    try:
        with pytest.raises(SourceFault) as caught:
            reader.probe(begin_at=0 if whole else -1)
        assert caught.value.kind is FaultKind.SILENT
        assert reader.probe(begin_at=0 if whole else -1).size_bytes == SIZE
    finally:
        reader.close()


def test_ranges_that_contradict_each_other_about_the_size_are_not_asked_for_again(serve: Serve) -> None:
    def one_more(request: Request, reply: Reply) -> bool:
        start, stop = request.range(SIZE) or (0, 0)
        if start >= SIZE or not stop:
            return FILE(request, reply, ranged=bool(stop))
        return part(reply, start, stop, f"bytes {start}-{stop - 1}/{SIZE + 1}")

    reader = open_reader(serve(one_more).url(), user_agent="shoal-test", settings=HASTY)
    try:
        wrong = reader.probe(begin_at=0)
        reader.open(SIZE, None, size_bytes=wrong.size_bytes)
        with pytest.raises(SourceFault) as caught:
            read_all(reader)
        assert caught.value.kind is FaultKind.CHANGED
        assert reader.probe(begin_at=0).size_bytes == SIZE
    finally:
        reader.close()
