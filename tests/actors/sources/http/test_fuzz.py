"""Whatever a server says, a reader ends in bounded time and raises nothing but `SourceFault`."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.sources import HttpSettings, open_reader
from protocol.model.faults import SourceFault
from tests.actors.sources.reading import read_span
from tests.actors.sources.scripted import Act, Answer, ScriptedServer

PATIENCE = HttpSettings(connect_timeout_s=5.0, head_timeout_s=5.0)
SECONDS_MAX = 10.0

_status = st.sampled_from([b"200 OK", b"206 x", b"416 x", b"302 x", b"403", b"503 x", b"204 x", b"100 x", b"099 x"])
_number = st.one_of(st.integers(-3, 40).map(b"%d".__mod__), st.sampled_from([b"9" * 19, b"9" * 40, b"*", b"", b"0x1"]))
_field = st.one_of(
    st.builds(b"Content-Length: %b".__mod__, _number),
    st.builds(lambda a, b, c: b"Content-Range: bytes %b-%b/%b" % (a, b, c), _number, _number, _number),
    st.sampled_from(
        [
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip",
            b"Connection: close",
            b"Content-Encoding: gzip",
            b"Location: /again",
            b"Location: http://[",
            b"Location: \xff\xfe",
            b'ETag: "\xe4"',
            b"Last-Modified: never",
            b"Retry-After: \xb2",
            b"Retry-After: Mon, 99 Foo 10000 99:99:99 +9999",
            b"Content-Disposition: a; filename*=utf-8''%ff; filename=\"\xff",
            b" folded",
            b"no colon",
        ]
    ),
    st.binary(max_size=20),
)
_body = st.one_of(
    st.binary(max_size=60), st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"ffffffffffffffff\r\n"])
)


def _joined(status: bytes, fields: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *fields]) + b"\r\n\r\n" + body


_answer = st.one_of(st.binary(max_size=200), st.builds(_joined, _status, st.lists(_field, max_size=5), _body))


def check_decent(fault: SourceFault) -> None:
    assert fault.detail
    assert fault.detail.isprintable()
    assert "hunter2" not in fault.detail
    assert 0 <= fault.retry_after_s <= 3600


@settings(max_examples=200, deadline=None)
@given(answers=st.lists(_answer, min_size=1, max_size=3), size_bytes=st.integers(-1, 40), start=st.integers(0, 20))
def test_any_bytes_for_an_answer_end_in_a_fault_or_in_order(answers: list[bytes], size_bytes: int, start: int) -> None:
    script: list[list[Answer]] = [[[answer, Act.CLOSE]] for answer in answers]
    server = ScriptedServer(*script, *script)
    reader = open_reader(server.url(login="user:hunter2"), settings=PATIENCE)
    began_s = time.monotonic()
    try:
        for step in (reader.probe, lambda: read_span(reader, start, None, size_bytes=size_bytes)):
            try:
                step()
            except SourceFault as fault:
                check_decent(fault)
        reader.hang_up()
    finally:
        reader.close()
        server.close()
    assert time.monotonic() - began_s < SECONDS_MAX
