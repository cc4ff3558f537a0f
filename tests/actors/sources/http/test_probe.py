"""One request tells size, offsets, version and name, whatever kind of server answers it."""

import pytest

from actors.sources import HttpSettings, Probed
from protocol.model.faults import FaultKind, SourceFault
from tests.actors.sources.conftest import Read, Serve
from tests.actors.sources.reading import read_span
from tests.actors.sources.scripted import Act, Answer, answer, part

CONTENT = bytes(range(256)) * 4


def probed(serve: Serve, read: Read, *pieces: Answer) -> Probed:
    """The probe of a server that answers in turn on one connection, then on new ones."""
    return read(serve(list(pieces), *([piece] for piece in pieces[1:])).url()).probe()


def fault_of_probe(serve: Serve, read: Read, *pieces: Answer) -> SourceFault:
    with pytest.raises(SourceFault) as caught:
        probed(serve, read, *pieces)
    return caught.value


def test_a_right_206_tells_size_version_and_that_offsets_work(serve: Serve, read: Read) -> None:
    seen = probed(serve, read, [part(CONTENT, 1, 2, 'ETag: "v1"')])
    assert (seen.size_bytes, seen.offset_ok, seen.validator, seen.name) == (1024, True, 'etag:"v1"', "")
    assert 0 < seen.setup_s < 5


def test_the_request_asks_for_one_plain_byte_and_nothing_that_gives_us_away(serve: Serve, read: Read) -> None:
    server = serve([[part(CONTENT, 1, 2)]])
    read(server.url("/a b/ä?q=1#part")).probe()
    assert server.first_line(0) == "GET /a%20b/%C3%A4?q=1 HTTP/1.1"
    fields = server.fields(0)
    assert fields == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "shoal-test",
        "accept": "*/*",
        "accept-encoding": "identity",
        "range": "bytes=1-1",
        "want-repr-digest": "sha-512=9, sha-256=10",
    }


def test_a_206_without_a_total_leaves_the_size_unknown(serve: Serve, read: Read) -> None:
    seen = probed(serve, read, [answer("206 Partial Content", "Content-Range: bytes 1-1/*", body=b"x")])
    assert (seen.size_bytes, seen.offset_ok) == (-1, True)


def test_a_server_without_ranges_is_used_from_the_beginning_and_its_body_not_read(serve: Serve, read: Read) -> None:
    seen = probed(serve, read, [answer("200 OK", "Content-Length: 99999999", length=False), Act.HANG])
    assert (seen.size_bytes, seen.offset_ok) == (99999999, False)


def test_a_200_without_a_length_leaves_the_size_unknown(serve: Serve, read: Read) -> None:
    assert probed(serve, read, [answer("200 OK", length=False), b"abc"]).size_bytes == -1


@pytest.mark.parametrize("size", [0, 1])
def test_a_file_too_small_for_byte_one_is_reported_by_416(serve: Serve, read: Read, size: int) -> None:
    seen = probed(serve, read, [answer("416 Range Not Satisfiable", f"Content-Range: bytes */{size}")])
    assert (seen.size_bytes, seen.offset_ok) == (size, True)


@pytest.mark.parametrize(
    "refusal",
    [
        "403 Forbidden",
        "416 Range Not Satisfiable",
        "400 Bad Request",
        "405 Method Not Allowed",
        "500 Internal Server Error",
        "501 Not Implemented",
    ],
)
def test_a_server_that_refuses_the_offset_only_is_asked_again_without(serve: Serve, read: Read, refusal: str) -> None:
    server = serve([[answer(refusal, body=b"no")], [answer("200 OK", body=CONTENT)]])
    seen = read(server.url()).probe()
    assert (seen.size_bytes, seen.offset_ok) == (1024, False)
    assert server.connections == 1, "the refusal's small page is read away and the connection kept"
    assert "range" not in server.fields(1)


def test_a_206_that_begins_earlier_than_asked_has_the_offset_in_it(serve: Serve, read: Read) -> None:
    seen = read(serve([[part(CONTENT, 0, 1024)]]).url()).probe()
    assert (seen.size_bytes, seen.offset_ok) == (1024, True)


def test_a_206_that_does_not_say_which_bytes_it_brings_counts_as_no_offsets(serve: Serve, read: Read) -> None:
    server = serve([[answer("206 Partial Content", body=b"x")], [answer("200 OK", body=CONTENT)]])
    seen = read(server.url()).probe()
    assert (seen.size_bytes, seen.offset_ok) == (1024, False)


def test_a_server_that_offers_offsets_is_not_judged_by_one_refusal(serve: Serve, read: Read) -> None:
    server = serve([[answer("200 OK", "Accept-Ranges: bytes", body=b"x" * 100_000)]], [[part(CONTENT, 1, 2)]])
    assert read(server.url()).probe().offset_ok


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("404 Not Found", FaultKind.NOT_FOUND),
        ("410 Gone", FaultKind.NOT_FOUND),
        ("401 Unauthorized", FaultKind.FORBIDDEN),
        ("407 Proxy Authentication Required", FaultKind.FORBIDDEN),
        ("429 Too Many Requests", FaultKind.BUSY),
        ("503 Service Unavailable", FaultKind.BUSY),
        ("204 No Content", FaultKind.BAD_ANSWER),
        ("304 Not Modified", FaultKind.BAD_ANSWER),
    ],
)
def test_a_real_refusal_is_not_asked_again(serve: Serve, read: Read, status: str, kind: FaultKind) -> None:
    server = serve([[answer(status, length="204" not in status and "304" not in status)]])
    with pytest.raises(SourceFault) as caught:
        read(server.url()).probe()
    assert caught.value.kind == kind
    assert status in caught.value.detail
    assert len(server.requests) == 1


def test_what_is_refused_with_and_without_offset_is_the_second_refusal(serve: Serve, read: Read) -> None:
    fault = fault_of_probe(
        serve, read, [answer("403 Forbidden")], [answer("500 Internal Server Error", "Connection: close")]
    )
    assert fault.kind == FaultKind.SERVER_ERROR


def test_a_body_in_a_coding_that_cannot_be_undone_is_refused(serve: Serve, read: Read) -> None:
    for status in ("200 OK", "206 Partial Content"):
        fault = fault_of_probe(
            serve, read, [answer(status, "Content-Encoding: br", "Content-Range: bytes 1-1/9", body=b"x")]
        )
        assert fault.kind == FaultKind.ENCODED
        assert "br" in fault.detail


def test_the_word_identity_is_no_encoding(serve: Serve, read: Read) -> None:
    assert probed(serve, read, [part(CONTENT, 1, 2, "Content-Encoding: Identity")]).size_bytes == 1024


@pytest.mark.parametrize(
    ("fields", "validator"),
    [
        (['ETag: "x"', "Last-Modified: Tue, 01 Jul 2025 10:00:00 GMT"], 'etag:"x"'),
        (['ETag: W/"x"', "Last-Modified: Tue, 01 Jul 2025 10:00:00 GMT"], "date:Tue, 01 Jul 2025 10:00:00 GMT"),
        (['ETag: W/"x"'], ""),
        (["ETag: naked"], ""),
        ([f'ETag: "{"x" * 2000}"'], ""),
    ],
)
def test_only_a_strong_tag_or_a_date_is_a_validator(
    serve: Serve, read: Read, fields: list[str], validator: str
) -> None:
    assert probed(serve, read, [part(CONTENT, 1, 2, *fields)]).validator == validator


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('attachment; filename="a b.bin"', "a b.bin"),
        ("attachment; filename=plain.bin", "plain.bin"),
        ("attachment; filename=fallback.bin; filename*=UTF-8''%e2%82%ac%20rates", "€ rates"),
        ("attachment; filename*=iso-8859-1'en'%A3; filename=x", "£"),
        ("attachment; filename*=utf-8''%ff%fe; filename=x", "x"),
        ("attachment; filename*=koi8-r''%ff; filename=x", "Ъ"),
        ("attachment; filename*=no-charset''%ff; filename=x", "x"),
        (r'attachment; filename="quo\"te;d"', 'quo"te;d'),
        ('attachment; filename="../../etc/passwd"', "../../etc/passwd"),
        ("attachment; FILENAME = x.bin ; size=3", "x.bin"),
        ("inline", ""),
        ('attachment; filename="open', "open"),
    ],
)
def test_the_proposed_name_is_given_unchanged(serve: Serve, read: Read, field: str, name: str) -> None:
    assert probed(serve, read, [part(CONTENT, 1, 2, f"Content-Disposition: {field}")]).name == name


def test_a_name_in_raw_utf8_is_read_as_such(serve: Serve, read: Read) -> None:
    field = "Content-Disposition: attachment; filename=größe.txt".encode().decode("latin-1")
    assert probed(serve, read, [part(CONTENT, 1, 2, field)]).name == "größe.txt"


def test_a_monstrous_disposition_is_searched_in_no_time(serve: Serve, read: Read) -> None:
    assert probed(serve, read, [part(CONTENT, 1, 2, "Content-Disposition: a" + ';a="' * 8000)]).name == ""


def test_the_connection_of_the_probe_carries_the_first_ride(serve: Serve, read: Read) -> None:
    server = serve([[part(CONTENT, 1, 2, 'ETag: "v1"')], [part(CONTENT, 10, 20, 'ETag: "v1"')]])
    reader = read(server.url())
    reader.probe()
    assert read_span(reader, 10, 20, size_bytes=1024) == CONTENT[10:20]
    assert server.connections == 1
    assert server.fields(1)["range"] == "bytes=10-19"
    assert server.fields(1)["if-range"] == '"v1"'


def test_a_server_that_never_answers_is_silent_after_the_limit(serve: Serve, read: Read) -> None:
    with pytest.raises(SourceFault) as caught:
        read(serve([[Act.HANG]]).url(), settings=HttpSettings(head_timeout_s=0.05)).probe()
    assert caught.value.kind == FaultKind.SILENT


def test_a_head_that_dribbles_past_the_limit_is_silent_too(serve: Serve, read: Read) -> None:
    pieces: list[bytes | Act] = [b"HTTP/1.1 200 OK\r\n"]
    for _ in range(60):
        pieces += [b"X: y\r\n", Act.PAUSE]
    assert fault_of_probe(serve, read, pieces).kind == FaultKind.SILENT


@pytest.mark.parametrize(
    "words",
    [
        b"SSH-2.0-OpenSSH_9.6",
        b"220 ftp ready\r\n",
        b"<html>no head</html>",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/two 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br, chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000,
    ],
)
def test_what_is_not_proper_http_is_a_bad_answer_at_once(serve: Serve, read: Read, words: bytes) -> None:
    assert fault_of_probe(serve, read, [words, Act.HANG]).kind == FaultKind.BAD_ANSWER


def test_words_before_the_answer_are_passed_over(serve: Serve, read: Read) -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    assert probed(serve, read, [hints + part(CONTENT, 1, 2)]).size_bytes == 1024


def test_a_server_that_closes_or_breaks_before_answering_is_reset(serve: Serve, read: Read) -> None:
    broken: list[Answer] = [[Act.CLOSE], [Act.RESET], [b"HTTP/1.1 200 OK\r\nContent-Le", Act.CLOSE]]
    for pieces in broken:
        with pytest.raises(SourceFault) as caught:
            read(serve([pieces], [pieces]).url()).probe()
        assert caught.value.kind == FaultKind.RESET
