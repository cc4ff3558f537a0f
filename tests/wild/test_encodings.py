"""Content codings: mistakes about files that are compressed, and transfers that really are."""

import gzip
import zlib
from collections.abc import Callable

import pytest

from protocol.model.faults import FaultKind
from tests.wild.conftest import DATA, Serve, fault_of, fetch
from tests.wild.server import File, Reply, Request

PACKED = gzip.compress(DATA, 1)
TEXT = b"a line of a text that packs well\n" * 20_000
CUT = 200_000
PROBES = pytest.mark.parametrize("whole", [True, False], ids=["whole", "offset"])


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@PROBES
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/pkg.tar.gz", ["Content-Encoding: x-gzip", "Content-Type: application/x-tar"]),
        ("/pkg.tgz", ["Content-Encoding: gzip"]),
        ("/get?to=a.tgz&id=5", ["Content-Encoding: gzip"]),
        ("/get?id=5", ["Content-Encoding: gzip", "Content-Type: application/gzip"]),
        ("/get", ["Content-Encoding: gzip", 'Content-Disposition: attachment; filename="a.tar.gz"']),
        ("/p%2egz", ["Content-Encoding: gzip"]),
        ("/a.tar.zst", ["Content-Encoding: zstd"]),
        ("/a.Z", ["Content-Encoding: compress"]),
    ],
)
def test_a_file_that_is_compressed_itself_is_kept_as_it_is_sent(
    serve: Serve, whole: bool, path: str, fields: list[str]
) -> None:
    file = File(PACKED)
    server = serve(lambda request, reply: file(request, reply, *fields, cut=CUT))
    assert fetch(server.url(path), whole=whole).data == PACKED


@PROBES
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("begins", [b"\x7fELF", b"PK\x03\x04", b"fLaC"])
def test_what_is_called_compressed_and_is_not_is_kept_as_it_is_sent(
    serve: Serve, whole: bool, coding: str, begins: bytes
) -> None:
    file = File(begins + DATA)
    server = serve(lambda request, reply: file(request, reply, f"Content-Encoding: {coding}"))
    assert fetch(server.url(), whole=whole).data == file.data


@PROBES
@pytest.mark.parametrize("coding", ["UTF-8", "aws-chunked", "binary", "none", "identity", "8bit", "", "x, utf-8"])
def test_what_is_no_coding_of_content_is_passed_over(serve: Serve, whole: bool, coding: str) -> None:
    file = File(DATA)
    server = serve(lambda request, reply: file(request, reply, f"Content-Encoding: {coding}", cut=CUT))
    assert fetch(server.url(), whole=whole).data == DATA


@PROBES
@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT[:100_000]) + gzip.compress(TEXT[100_000:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("gzip", gzip.compress(TEXT) + b"\x00" * 100),
    ],
    ids=["gzip", "two members", "zlib", "raw", "padded"],
)
@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_a_transfer_that_is_compressed_is_decoded(
    serve: Serve, whole: bool, coding: str, packed: bytes, framing: str
) -> None:
    def packing(request: Request, reply: Reply) -> bool:
        head = f"Content-Encoding: {coding}"
        if framing == "length":
            reply.head("200 OK", head, f"Content-Length: {len(packed)}")
            reply.raw(packed)
        elif framing == "chunks":
            reply.head("200 OK", head, "Transfer-Encoding: chunked")
            reply.raw(b"%X\r\n%b\r\n0\r\n\r\n" % (len(packed), packed))
        else:
            reply.head("200 OK", head)
            reply.raw(packed)
        return framing != "end"

    assert fetch(serve(packing).url("/page.txt"), whole=whole).data == TEXT


@PROBES
def test_a_compressed_transfer_that_breaks_off_begins_again(serve: Serve, whole: bool) -> None:
    file = File(PACKED)

    def packing(request: Request, reply: Reply) -> bool:
        return file(request, reply, "Content-Encoding: gzip", cut=300_000 if request.number < 4 else None)

    assert fetch(serve(packing).url(), whole=whole).data == DATA


def test_ranges_are_plain_where_only_whole_answers_are_compressed(serve: Serve) -> None:
    file = File(DATA)

    def packing(request: Request, reply: Reply) -> bool:
        if request.range(len(DATA)):
            return file(request, reply, cut=CUT)
        reply.head("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(PACKED)}")
        reply.raw(PACKED)
        return True

    assert fetch(serve(packing).url()).data == DATA


def test_a_body_that_is_called_gzip_and_is_not_is_the_file(serve: Serve) -> None:
    def lying(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(DATA)}")
        reply.raw(DATA)
        return True

    assert fetch(serve(lying).url()).data == DATA


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "gzip, gzip", "compress"])
def test_a_coding_that_cannot_be_undone_is_named(serve: Serve, coding: str) -> None:
    file = File(DATA)
    server = serve(lambda request, reply: file(request, reply, f"Content-Encoding: {coding}"))
    fault = fault_of(server.url())
    assert fault.kind is FaultKind.ENCODED
    assert coding in fault.detail


@pytest.mark.parametrize("packed", [PACKED[:300_000], PACKED[:1000] + b"\xff" * 1000 + PACKED[2000:]])
def test_a_compressed_transfer_that_is_damaged_is_no_file(serve: Serve, packed: bytes) -> None:
    def damaged(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(packed)}")
        reply.raw(packed)
        return True

    assert fault_of(serve(damaged).url()).kind in (FaultKind.SHORT_BODY, FaultKind.BAD_ANSWER)


@PROBES
@pytest.mark.parametrize(
    ("codings", "pack"),
    [
        ("gzip, chunked", gzip.compress),
        ("x-gzip , Chunked", gzip.compress),
        ("deflate, chunked", zlib.compress),
        ("gzip", gzip.compress),
    ],
)
def test_a_transfer_coding_leaves_offsets_as_they_are(
    serve: Serve, whole: bool, codings: str, pack: Callable[[bytes], bytes]
) -> None:
    def packing(request: Request, reply: Reply) -> bool:
        start, stop = request.range(len(DATA)) or (0, len(DATA))
        packed = pack(DATA[start:stop][:CUT])
        reply.head(
            "206 Partial Content",
            f"Transfer-Encoding: {codings}",
            f"Content-Range: bytes {start}-{min(stop, start + CUT) - 1}/{len(DATA)}",
            "Connection: close",
        )
        reply.raw(b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed) if "chunked" in codings.lower() else packed)
        return False

    got = fetch(serve(packing).url(), whole=whole)
    assert (got.data, got.faults) == (DATA, [])


@PROBES
def test_a_transfer_coding_beside_a_length_is_read_to_the_end_of_the_connection(serve: Serve, whole: bool) -> None:
    def packing(request: Request, reply: Reply) -> bool:
        packed = gzip.compress(TEXT)
        reply.head("200 OK", "Transfer-Encoding: gzip", f"Content-Length: {len(TEXT)}")
        reply.raw(packed)
        return False

    assert fetch(serve(packing).url(), whole=whole).data == TEXT


def test_a_packed_transfer_that_breaks_off_is_not_the_whole_file(serve: Serve) -> None:
    def breaking(request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Transfer-Encoding: gzip")
        reply.raw(gzip.compress(TEXT)[:-20])
        return False

    assert fault_of(serve(breaking).url()).kind is FaultKind.SHORT_BODY


@PROBES
@pytest.mark.parametrize("status", ["406 Not Acceptable", "415 Unsupported Media Type"])
def test_a_server_that_refuses_to_be_asked_for_no_coding_is_asked_for_any(
    serve: Serve, whole: bool, status: str
) -> None:
    file = File(DATA)

    def choosy(request: Request, reply: Reply) -> bool:
        if "accept-encoding" in request.fields:
            reply.head(status, "Content-Length: 0")
            return True
        return file(request, reply, cut=CUT)

    server = serve(choosy)
    assert fetch(server.url(), whole=whole).data == DATA
    assert "accept-encoding" not in server.requests[-1].fields
    assert server.ranges[-1], "the range was not what it refused"
