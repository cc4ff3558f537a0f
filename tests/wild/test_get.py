"""The whole program against odd servers and addresses: exit code, words, file."""

import threading
from functools import partial

import pytest

from actors.core.dispatch.identity.resumption import CONFIRM_S_MIN
from tests.e2e.program import Shoal
from tests.wild.conftest import DATA, Serve
from tests.wild.server import File, Reply, Request

FILE = File(DATA)


def test_nodes_that_break_off_and_disagree_come_to_the_file(shoal: Shoal, serve: Serve) -> None:
    def node(request: Request, reply: Reply) -> bool:
        if request.number % 4 == 3:
            reply.head("403 Forbidden", "Content-Length: 0")
            return True
        return FILE(request, reply, cut=250_000, etag=f'"n{request.number % 3}"', ranged=request.number % 5 != 4)

    done = shoal.run("get", serve(node).url(), "-o", "file.bin", "-q")
    assert done.code == 0, done
    assert (shoal.folder / "file.bin").read_bytes() == DATA


def test_a_link_that_is_good_for_one_request_is_enough(shoal: Shoal, serve: Serve) -> None:
    def once(request: Request, reply: Reply) -> bool:
        if request.number > 1:
            reply.head("404 Not Found", "Content-Length: 0")
            return True
        return FILE(request, reply, 'Content-Disposition: attachment; filename="named.bin"', ranged=False)

    done = shoal.run("get", serve(once).url(), "-q")
    assert done.code == 0, done
    assert (shoal.folder / "named.bin").read_bytes() == DATA


@pytest.mark.long  # where answers take seconds for load, one may still be taken from another too early
@pytest.mark.parametrize(("count", "places"), [(3, 3), (7, 2)])
def test_several_links_that_are_good_for_one_request_each_are_enough(
    shoal: Shoal, serve: Serve, count: int, places: int
) -> None:
    """A few begin at their own places; of many, one brings all that the others, spent on their probes, leave."""
    asked: list[tuple[int, str]] = []

    def once(server: int, request: Request, reply: Reply) -> bool:
        asked.append((server, request.fields.get("range", "")))
        if request.number > 1:
            reply.head("410 Gone", "Content-Length: 0")
            return True
        return FILE(request, reply)

    urls = [serve(partial(once, server)).url() for server in range(count)]
    done = shoal.run("get", *urls, "-o", "file.bin", "-q")
    assert done.code == 0, done
    assert (shoal.folder / "file.bin").read_bytes() == DATA
    first: dict[int, str] = {}
    for server, span in asked:
        first.setdefault(server, span)
    assert len(set(first.values())) == places, first


def test_a_server_that_takes_the_end_of_a_range_as_behind_it_comes_to_the_file(shoal: Shoal, serve: Serve) -> None:
    """The last byte is in no range of it: in the middle of the last chunk the whole file comes from its start."""
    size = len(DATA)

    def short(request: Request, reply: Reply) -> bool:
        start, stop = request.range(size) or (0, 0)
        if not stop:
            return FILE(request, reply)
        stop -= 0 if request.fields["range"].endswith("-") else 1
        if start >= stop:
            reply.head("416 Range Not Satisfiable", f"Content-Range: bytes */{size}", "Content-Length: 0")
            return True
        reply.head(
            "206 Partial Content", f"Content-Range: bytes {start}-{stop - 1}/{size}", f"Content-Length: {stop - start}"
        )
        reply.raw(DATA[start:stop][:250_000])
        return stop - start <= 250_000

    done = shoal.run("get", serve(short).url(), "-o", "file.bin", "-q")
    assert done.code == 0, done
    assert (shoal.folder / "file.bin").read_bytes() == DATA


@pytest.mark.parametrize("validators", [True, False])
@pytest.mark.parametrize("size", [len(DATA), len(DATA) - 4321])
def test_a_file_that_is_replaced_is_fetched_again(shoal: Shoal, serve: Serve, size: int, validators: bool) -> None:
    new = File(DATA[:size][::-1], etag='"v2"', modified="Tue, 03 Nov 2026 11:00:00 GMT")

    def replaced(request: Request, reply: Reply) -> bool:
        file = FILE if request.number <= 2 else new
        tag, modified = (None, None) if validators else ("", "")
        return file(request, reply, cut=300_000, etag=tag, modified=modified)

    done = shoal.run("get", serve(replaced).url(), "-o", "file.bin")
    assert done.code == 0, done
    assert (shoal.folder / "file.bin").read_bytes() == new.data
    assert "another version than before: starting over with that one" in done.stderr or size < len(DATA)


@pytest.mark.parametrize("validators", [True, False])
def test_a_file_that_is_overwritten_within_one_answer_is_fetched_again(
    shoal: Shoal, serve: Serve, validators: bool
) -> None:
    """What a web server sends whose file is copied over while it reads."""
    half = len(DATA) // 2
    new = File(DATA[::-1], etag='"v2"', modified="Tue, 03 Nov 2026 11:00:00 GMT")
    copied = threading.Event()

    def overwritten(request: Request, reply: Reply) -> bool:
        tag, modified = (None, None) if validators else ("", "")
        if request.number > 1:
            return new(request, reply, etag=tag, modified=modified)
        FILE(request, reply, cut=half, etag=tag, modified=modified)
        copied.wait(CONFIRM_S_MIN + 0.5)
        reply.raw(new.data[half:])
        return True

    done = shoal.run("get", serve(overwritten).url(), "-o", "file.bin")
    assert done.code == 0, done
    assert (shoal.folder / "file.bin").read_bytes() == new.data


@pytest.mark.long
def test_a_file_that_is_another_one_at_every_request_ends_in_words(shoal: Shoal, serve: Serve) -> None:
    def restless(request: Request, reply: Reply) -> bool:
        return FILE(request, reply, cut=300_000, etag=f'"{request.number}"', modified=f"{request.number}")

    done = shoal.run("get", serve(restless).url(), "-o", "file.bin")
    assert done.code == 3, done
    assert done.stderr.splitlines()[-1].endswith("is another version than before, for the third time")


@pytest.mark.parametrize(
    "url", ["http://[fe80::1%25eth0]:8080/f.iso", "http://[::1%25lo]/f", "http://a..b/f", "http://256.1.1.1/f"]
)
def test_an_address_that_cannot_be_used_is_refused_at_once(shoal: Shoal, serve: Serve, url: str) -> None:
    for urls in ([url], [serve(FILE).url(), url]):
        done = shoal.run("get", *urls)
        assert done.code == 2
        assert done.stderr.startswith("error: the host in ")


def test_a_redirect_to_what_cannot_be_used_ends_in_words(shoal: Shoal, serve: Serve) -> None:
    def astray(request: Request, reply: Reply) -> bool:
        reply.head("302 Found", "Location: http://[::1%25lo]/f.iso", "Content-Length: 0")
        return True

    done = shoal.run("get", serve(astray).url())
    assert done.code == 3
    assert "redirects to what cannot be used" in done.stderr.splitlines()[-1]
