"""What the user wants of requests reaches the server, and secrets among it no other host."""

import socket
from base64 import b64encode
from pathlib import Path

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.network_interface import bind_socket
from actors.sources import HttpSettings, open_reader, reader_for
from actors.sources.http.request_options import family_of, request_head
from protocol.messages import StartWorker
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.job_spec import HttpOptions
from tests.actors.sources.conftest import Serve
from tests.actors.sources.scripted import answer, part

CONTENT = bytes(range(256)) * 4
PROBE = [part(CONTENT, 1, 2)]
SECRETS = ("Authorization: Bearer t0ken", "Cookie: id=s3cret", "X-Key: k")


def probed(url: str, **options: object) -> None:
    http = HttpOptions(**options)  # type: ignore[arg-type]
    reader = reader_for(StartWorker(job=1, source=0, url=url, http=http))
    try:
        reader.probe()
    finally:
        reader.close()


def test_fields_are_added_replaced_and_taken_away(serve: Serve) -> None:
    server = serve([PROBE])
    headers = ("X-Key: a: b", "accept:audio/*", "User-Agent: other/1", "Accept-Encoding:")
    probed(server.url(), headers=headers, referer="http://page.example/", user_agent="mine/2")
    fields = server.fields(0)
    assert (fields["x-key"], fields["accept"], fields["user-agent"]) == ("a: b", "audio/*", "other/1")
    assert fields["referer"] == "http://page.example/"
    assert "accept-encoding" not in fields
    assert server.requests[0].lower().count(b"accept:") == 1


def test_the_user_agent_is_the_user_s_or_the_program_s(serve: Serve) -> None:
    server = serve([PROBE], [PROBE])
    probed(server.url(), user_agent="mine/2")
    probed(server.url())
    assert (server.fields(0)["user-agent"], server.fields(1)["user-agent"]) == ("mine/2", "shoal")


def test_logins_and_cookies_of_the_user_stay_with_the_host_they_are_for(serve: Serve) -> None:
    there = serve([PROBE])
    here = serve([[answer("302 Found", "Location: /again")], [answer("302 Found", f"Location: {there.url()}")]])
    probed(here.url(), headers=SECRETS)
    for index in (0, 1):
        assert here.fields(index)["authorization"] == "Bearer t0ken"
        assert here.fields(index)["cookie"] == "id=s3cret"
    assert there.fields(0)["x-key"] == "k"
    assert not {"authorization", "cookie"} & set(there.fields(0))


def test_a_field_takes_the_place_of_the_login_in_the_address(serve: Serve) -> None:
    server = serve([PROBE])
    probed(server.url(login="user:password"), headers=SECRETS[:1])
    assert server.requests[0].lower().count(b"authorization:") == 1
    assert server.fields(0)["authorization"] == "Bearer t0ken"


def test_logins_of_a_netrc_file_go_to_their_hosts_and_the_default_only_to_the_first(
    serve: Serve, tmp_path: Path
) -> None:
    there = serve([PROBE], [PROBE])
    here = serve([[answer("302 Found", f"Location: {there.url(host='localhost')}")]], [PROBE])
    file = tmp_path / "netrc"
    file.write_text("default login any password s3cret:2\n")
    probed(here.url(), netrc_file=str(file))
    assert here.fields(0)["authorization"] == "Basic " + b64encode(b"any:s3cret:2").decode()
    assert "authorization" not in there.fields(0)
    file.write_text("machine localhost login me password p%40ss\n")
    probed(there.url(host="localhost"), netrc_file=str(file))
    assert there.fields(1)["authorization"] == "Basic " + b64encode(b"me:p%40ss").decode()
    probed(here.url(login="other:own"), netrc_file=str(file))
    assert here.fields(1)["authorization"] == "Basic " + b64encode(b"other:own").decode()


def test_cookies_of_a_file_go_to_their_hosts_and_paths_and_a_server_s_come_beside_them(
    serve: Serve, tmp_path: Path
) -> None:
    file = tmp_path / "cookies.txt"
    file.write_text(
        "# Netscape HTTP Cookie File\n"
        "127.0.0.1\tFALSE\t/\tFALSE\t0\tid\t1\n"
        "#HttpOnly_127.0.0.1\tFALSE\t/file\tFALSE\t9999999999\tonly\t2\n"
        "127.0.0.1\tFALSE\t/other\tFALSE\t0\tpath\t3\n"
        "127.0.0.1\tFALSE\t/\tTRUE\t0\tsecure\t4\n"
        "127.0.0.1\tFALSE\t/\tFALSE\t1\told\t5\n"
        "elsewhere.example\tFALSE\t/\tFALSE\t0\tforeign\t6\n"
        "no cookie\n"
    )
    server = serve([[answer("302 Found", "Location: /file2", "Set-Cookie: own=7")], PROBE], [PROBE])
    probed(server.url(), cookie_file=str(file))
    assert set(server.fields(0)["cookie"].split("; ")) == {"id=1", "only=2"}
    assert {"id=1", "own=7"} <= set(server.fields(1)["cookie"].split("; "))
    probed(server.url(), cookie_file=str(tmp_path / "gone"))


def test_a_proxy_of_the_user_goes_before_the_environment_s_and_none_is_none(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve([PROBE]), serve([PROBE])
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    probed("http://far.example/file", proxy=f"http://me:s3cret@127.0.0.1:{proxy.port}")
    assert proxy.first_line(0) == "GET http://far.example/file HTTP/1.1"
    assert proxy.fields(0)["proxy-authorization"].startswith("Basic ")
    probed(server.url(), proxy="none")
    assert server.first_line(0) == "GET /file HTTP/1.1"


def test_a_connection_leaves_from_the_address_that_was_named(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock:
        bind_socket(sock, "127.0.0.7")
        sock.connect(listener.getsockname())
        assert listener.accept()[1][0] == "127.0.0.7"
    server = serve([PROBE])
    probed(server.url(), interface="127.0.0.7")
    with pytest.raises(SourceFault) as caught:
        probed(server.url(), interface="no-such-interface")
    assert caught.value.kind is FaultKind.INTERFACE_GONE


@pytest.mark.parametrize(
    ("options", "family"),
    [
        ({}, socket.AF_UNSPEC),
        ({"ip_version": 4}, socket.AF_INET),
        ({"ip_version": 6}, socket.AF_INET6),
        ({"interface": "127.0.0.1"}, socket.AF_INET),
        ({"interface": "::1"}, socket.AF_INET6),
        ({"interface": "eth0"}, socket.AF_UNSPEC),
    ],
)
def test_only_addresses_of_the_wanted_version_are_looked_up(options: dict[str, object], family: int) -> None:
    assert family_of(HttpOptions(**options)) == family  # type: ignore[arg-type]


def test_an_address_of_the_other_version_is_a_fault_with_words() -> None:
    with pytest.raises(SourceFault) as caught:
        probed("http://127.0.0.1:9/", ip_version=6)
    assert caught.value.kind is FaultKind.NO_SUCH_HOST
    assert "IP version" in caught.value.detail


def test_options_are_in_no_repr_and_in_no_fault(serve: Serve) -> None:
    options = HttpOptions(headers=SECRETS, proxy="http://me:s3cret@p/")
    assert "s3cret" not in repr(HttpSettings(options=options)) + repr(options)
    assert repr(options) == "HttpOptions(headers, proxy)"
    with pytest.raises(SourceFault) as caught:
        open_reader("http://h/", settings=HttpSettings(options=HttpOptions(proxy="ftp://me:s3cret@h"))).probe()
    assert "s3cret" not in caught.value.detail


@given(
    st.lists(st.tuples(st.from_regex(r"X-[A-Za-z0-9!#$%&'*+.^_`|~-]*", fullmatch=True), st.text(max_size=20))),
    st.text(st.characters(max_codepoint=0x17F), min_size=1, max_size=20),
)
def test_a_request_is_written_as_h11_writes_it_or_not_at_all(fields: list[tuple[str, str]], path: str) -> None:
    fields = [("Host", "a.example"), *fields]
    try:
        written = request_head("GET", f"/{path}", fields)
    except SourceFault:
        return
    assert written.count(b"\r") == written.count(b"\n") == 2 + len(fields), "no other line"
    named = [(name.encode(), value.strip().encode("latin-1")) for name, value in fields]
    assert h11.Connection(h11.CLIENT).send(
        h11.Request(method="GET", target=f"/{path}", headers=named)
    ) == written or any(value != value.strip() for _, value in fields)


@pytest.mark.parametrize("field", [("X-A", "b\r\nX-C: d"), ("X-A", "b\0"), ("X-A", "\u20ac"), ("X A", "b"), ("", "b")])
def test_fields_that_would_be_read_as_others_are_not_sent(field: tuple[str, str]) -> None:
    with pytest.raises(SourceFault):
        request_head("GET", "/", [("Host", "a.example"), field])


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX-A: b", "/\u00e4", ""])
def test_a_path_that_would_be_read_as_more_is_not_sent(path: str) -> None:
    with pytest.raises(SourceFault):
        request_head("GET", path, [("Host", "a.example")])
