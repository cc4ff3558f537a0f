"""Servers that are slow with their heads, ask for patience, or end connections that stand open."""

import threading
import time
from email.utils import formatdate

import pytest

from actors.sources import HttpSettings, open_reader
from protocol.model.faults import FaultKind
from tests.actors.sources.reading import read_on
from tests.wild.conftest import DATA, Serve, fault_of, fetch
from tests.wild.server import File, Reply, Request

FILE = File(DATA)
PATIENT = HttpSettings(head_timeout_s=5.0)
IMPATIENT = HttpSettings(head_timeout_s=0.2)


def test_a_head_that_is_slow_once_is_waited_for(serve: Serve) -> None:
    late = threading.Event()

    def slow(request: Request, reply: Reply) -> bool:
        if request.number == 1:
            late.wait(0.6)
        return FILE(request, reply)

    got = fetch(serve(slow).url(), settings=PATIENT)
    assert (got.data, got.faults) == (DATA, [])
    assert got.probed.setup_s >= 0.5


def test_a_head_that_does_not_come_is_given_up_after_the_limit(serve: Serve) -> None:
    over = threading.Event()
    server = serve(lambda request, reply: over.wait(20.0) and False)
    began_s = time.monotonic()
    with pytest.raises(Exception, match="did not answer within") as caught:
        open_reader(server.url(), settings=IMPATIENT).probe()
    over.set()
    assert caught.value.kind is FaultKind.SILENT  # type: ignore[attr-defined]
    assert time.monotonic() - began_s < 15


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable", "500 Oops"])
@pytest.mark.parametrize("form", ["seconds", "date", "date and clock"])
def test_a_time_to_wait_is_passed_on_in_either_form(serve: Serve, status: str, form: str) -> None:
    def busy(request: Request, reply: Reply) -> bool:
        value = "90" if form == "seconds" else formatdate(time.time() + 90, usegmt=True)
        fields = [f"Retry-After: {value}", "Content-Length: 0"]
        if form == "date and clock":  # the server's own clock is a day ahead
            fields[0] = f"Retry-After: {formatdate(time.time() + 86490, usegmt=True)}"
            fields.append(f"Date: {formatdate(time.time() + 86400, usegmt=True)}")
        reply.head(status, *fields)
        return True

    assert 85 <= fault_of(serve(busy).url()).retry_after_s <= 91


def test_a_body_that_stood_open_and_was_ended_is_asked_for_again(serve: Serve) -> None:
    ended = threading.Event()

    def leaving(request: Request, reply: Reply) -> bool:
        if request.number > 1:
            return FILE(request, reply)
        reply.head("200 OK", f"Content-Length: {len(DATA)}")
        ended.set()
        return False

    server = serve(leaving)
    reader = open_reader(server.url())
    probed = reader.probe(begin_at=0)
    assert ended.wait(5.0)
    reader.open(0, None, size_bytes=probed.size_bytes)
    assert read_on(reader) == DATA
    reader.close()
