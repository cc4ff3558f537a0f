"""Proxies: which hosts are excepted, SOCKS5 by names and addresses, and what refusals are called."""

import ssl
from pathlib import Path

import pytest
import trustme

from actors.sources.http.proxy import is_excepted, parse_proxy, proxy_for
from actors.sources.http.target import parse_target
from actors.sources.http.tls import STORES
from protocol.model.faults import FaultKind, SourceFault
from tests.actors.sources.conftest import Read, Serve
from tests.actors.sources.http.test_connect import CONTENT, PROBE, SIZE, fault_of_probe, server_context
from tests.actors.sources.reading import read_span
from tests.actors.sources.relay import SocksRelay
from tests.actors.sources.scripted import part

HOST = "mirror.example"


@pytest.mark.parametrize(
    ("host", "no_proxy", "excepted"),
    [
        (HOST, "", False),
        (HOST, "*", True),
        (HOST, "other.example, example", True),
        (HOST, ".example", True),
        (HOST, "*.example", True),
        (HOST, "Example.", True),
        ("mirror.example.", "mirror.example", True),
        (HOST, "mirror.example:80", True),
        (HOST, "mirror.example:81", False),
        (HOST, "or.example", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3/8", True),
        ("11.1.2.3", "192.168.0.0/16 10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "2.3", True),
        ("2001:db8::1", "2001:db8::/32", True),
        ("2001:db8::1", "[2001:db8::1]", True),
        ("2001:db8::1", "[2001:db8::1]:80", True),
        ("2001:db8::1", "[2001:db8::1]:81", False),
        (HOST, ",, ,", False),
        (HOST, "10.0.0.0/99,[,:80", False),
    ],
)
def test_exceptions_are_hosts_names_above_them_and_networks(host: str, no_proxy: str, excepted: bool) -> None:
    assert is_excepted(host, 80, no_proxy) is excepted


@pytest.mark.parametrize(("scheme", "asked"), [("socks5h", b"\x03mirror.example"), ("socks5", b"\x01\x7f\x00\x00\x01")])
@pytest.mark.parametrize("login", [b"", b"me:p@ss"])
def test_a_socks_proxy_is_given_the_name_or_what_it_means_here(
    serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch, scheme: str, asked: bytes, login: bytes
) -> None:
    server = serve([PROBE, [part(CONTENT, 5, 9)]])
    with SocksRelay(server.port, login=login) as proxy:
        monkeypatch.setenv("all_proxy", f"{scheme}://{'me:p%40ss@' if login else ''}127.0.0.1:{proxy.port}")
        host = HOST if scheme == "socks5h" else "127.0.0.1"
        reader = read(f"http://{host}:8080/file")
        assert reader.probe().size_bytes == SIZE
        assert read_span(reader, 5, 9, size_bytes=SIZE) == CONTENT[5:9]
        reader.close()
    assert proxy.request == asked + (8080).to_bytes(2, "big")
    assert server.first_line(0) == "GET /file HTTP/1.1"
    assert "proxy-authorization" not in server.fields(0)


def test_tls_goes_through_a_socks_proxy_and_is_checked_at_its_end(
    serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    server = serve([PROBE], tls=server_context(authority, HOST))
    with SocksRelay(server.port) as proxy:
        monkeypatch.setenv("https_proxy", f"socks5h://127.0.0.1:{proxy.port}")
        reader = read(f"https://{HOST}/file")
        assert reader.probe().size_bytes == SIZE
        reader.close()


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (2, FaultKind.FORBIDDEN, "does not allow"),
        (4, FaultKind.REFUSED, "cannot reach that host"),
        (5, FaultKind.REFUSED, "was refused"),
        (1, FaultKind.REFUSED, "failed"),
        (200, FaultKind.BAD_ANSWER, "SOCKS5"),
    ],
)
def test_what_a_socks_proxy_refuses_is_said(
    read: Read, monkeypatch: pytest.MonkeyPatch, reply: int, kind: FaultKind, words: str
) -> None:
    with SocksRelay(1, reply=reply) as proxy:
        monkeypatch.setenv("http_proxy", f"socks5h://127.0.0.1:{proxy.port}")
        fault = fault_of_probe(read, f"http://{HOST}/")
    assert fault.kind == kind
    assert words in fault.detail
    assert "the proxy 127.0.0.1" in fault.detail


@pytest.mark.parametrize("given", ["", "me:wrong@"])
def test_a_socks_proxy_that_wants_another_login_is_named(
    read: Read, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    with SocksRelay(1, login=b"me:right") as proxy:
        monkeypatch.setenv("http_proxy", f"socks5h://{given}127.0.0.1:{proxy.port}")
        fault = fault_of_probe(read, f"http://{HOST}/")
    assert fault.kind == FaultKind.FORBIDDEN
    assert "login" in fault.detail
    assert "wrong" not in fault.detail


def test_what_is_no_socks_proxy_is_said_to_be_none(serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"socks5h://127.0.0.1:{serve([PROBE], greets=True).port}")
    assert fault_of_probe(read, f"http://{HOST}/").kind in (FaultKind.BAD_ANSWER, FaultKind.CONNECT_TIMEOUT)


def test_a_proxy_s_kind_has_its_usual_port() -> None:
    assert [parse_proxy(url).port for url in ("here", "http://here", "socks5://here", "socks5h://here:9")] == [
        *(80, 80, 1080, 9)
    ]
    with pytest.raises(SourceFault):
        parse_proxy("socks4://here")


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("cgi", [False, True])
def test_the_environment_names_a_proxy_in_either_case_but_no_caller_of_a_cgi_script_does(
    monkeypatch: pytest.MonkeyPatch, name: str, cgi: bool
) -> None:
    monkeypatch.setenv(name, "http://proxy.example:3128")
    if cgi:
        monkeypatch.setenv("REQUEST_METHOD", "GET")
    proxy = proxy_for(parse_target("http://host.example/"))
    assert (proxy is None) is (cgi and name == "HTTP_PROXY")


@pytest.mark.parametrize("name", ["CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_authorities_of_curl_and_requests_are_trusted_too(
    serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    context: ssl.SSLContext = server_context(authority, "127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "right.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    for other_name in STORES:
        monkeypatch.delenv(other_name, raising=False)
    monkeypatch.setenv(name, str(tmp_path / "right.pem"))
    assert read(serve([PROBE], tls=context).url()).probe().size_bytes == SIZE
    monkeypatch.setenv(name, str(tmp_path / "none.pem"))
    fault = fault_of_probe(read, serve([PROBE], tls=context).url())
    assert (fault.kind, "none.pem" in fault.detail) == (FaultKind.TLS_UNTRUSTED, True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "right.pem"))
    monkeypatch.setenv(name, str(tmp_path / "other.pem"))
    assert read(serve([PROBE], tls=context).url()).probe().size_bytes == SIZE
    monkeypatch.delenv("SSL_CERT_FILE")
    assert fault_of_probe(read, serve([PROBE], tls=context).url()).kind == FaultKind.TLS_UNTRUSTED


@pytest.mark.parametrize("name", STORES)
def test_a_store_of_authorities_that_is_not_there_is_named(
    serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    context: ssl.SSLContext = server_context(trustme.CA(), "127.0.0.1")
    for other_name in STORES:
        monkeypatch.delenv(other_name, raising=False)
    monkeypatch.setenv(name, str(tmp_path / "none.pem"))
    fault = fault_of_probe(read, serve([PROBE], tls=context).url())
    assert (fault.kind, "none.pem" in fault.detail) == (FaultKind.TLS_UNTRUSTED, True)
