"""Connecting, proxies and TLS: what can go wrong before the first byte of an answer."""

import base64
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from actors.runtime.free_ports import free_ports
from actors.sources import HttpSettings
from actors.sources.http.connect import look_up_fault
from actors.sources.http.tls import trust_store
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.job_spec import HttpOptions
from tests.actors.sources.conftest import Read, Serve
from tests.actors.sources.reading import read_span
from tests.actors.sources.relay import ConnectRelay
from tests.actors.sources.scripted import Act, answer, part

CONTENT = bytes(range(256)) * 4
SIZE = len(CONTENT)
PROBE = [part(CONTENT, 1, 2)]


def fault_of_probe(read: Read, url: str) -> SourceFault:
    with pytest.raises(SourceFault) as caught:
        read(url).probe()
    return caught.value


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    """A server's context for 127.0.0.1, issued by an authority that SSL_CERT_FILE makes trusted."""
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    return server_context(authority, "127.0.0.1")


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_a_port_without_a_listener_refuses(read: Read) -> None:
    (port,) = free_ports(1)
    fault = fault_of_probe(read, f"http://127.0.0.1:{port}/x")
    assert fault.kind == FaultKind.REFUSED
    assert "127.0.0.1" in fault.detail


def test_every_address_of_a_host_is_tried(serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve([PROBE])
    (dead,) = free_ports(1)
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", dead)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: found)
    assert read("http://two.example/x").probe().size_bytes == SIZE


def test_a_host_that_takes_no_connection_in_time_is_given_up(read: Read) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as waiting:
        waiting.setblocking(False)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # the queue is full then, and the kernel answers no further SYN
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        reader = read(f"http://127.0.0.1:{listener.getsockname()[1]}/", settings=HttpSettings(connect_timeout_s=0.3))
        with pytest.raises(SourceFault) as caught:
            reader.probe()
        for filler in fillers:
            filler.close()
    assert caught.value.kind == FaultKind.CONNECT_TIMEOUT


def test_an_unknown_name_is_for_good_and_a_resolver_in_trouble_is_not() -> None:
    unknown = look_up_fault(socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "x.example")
    assert (unknown.kind, "x.example" in unknown.detail) == (FaultKind.NO_SUCH_HOST, True)
    trouble = look_up_fault(socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "x.example")
    assert trouble.kind == FaultKind.CONNECT_TIMEOUT


def test_a_name_no_resolver_can_take_is_no_host(read: Read) -> None:
    with pytest.raises(SourceFault) as caught:
        read(f"http://{'a' * 70}.example/")
    assert caught.value.kind == FaultKind.UNSUPPORTED_URL


def test_a_plain_proxy_is_asked_for_the_full_url(serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve([PROBE, [part(CONTENT, 5, 9)]])
    monkeypatch.setenv("http_proxy", f"http://me:pa%40ss@127.0.0.1:{proxy.port}")
    reader = read("http://user:pw@mirror.example:8080/file?q")
    reader.probe()
    assert read_span(reader, 5, 9, size_bytes=SIZE) == CONTENT[5:9]
    assert proxy.first_line(0) == "GET http://mirror.example:8080/file?q HTTP/1.1"
    fields = proxy.fields(1)
    assert fields["host"] == "mirror.example:8080"
    assert fields["proxy-authorization"] == "Basic " + base64.b64encode(b"me:pa@ss").decode()
    assert fields["authorization"] == "Basic " + base64.b64encode(b"user:pw").decode()


def test_no_proxy_names_hosts_that_are_asked_directly(
    serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve([PROBE])
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert read(server.url()).probe().size_bytes == SIZE
    assert server.first_line(0) == "GET /file HTTP/1.1"
    assert "proxy-authorization" not in server.fields(0)


@pytest.mark.parametrize("proxy", ["socks4://127.0.0.1:1", "ftp://127.0.0.1:1", "http://[x", "http://"])
def test_a_proxy_of_another_kind_is_said_to_be_unsupported(
    read: Read, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    assert fault_of_probe(read, "http://mirror.example/").kind == FaultKind.UNSUPPORTED_URL


def test_tls_is_read_like_plain_http(serve: Serve, read: Read, tls: ssl.SSLContext) -> None:
    big = CONTENT * 300  # many records
    server = serve([[part(big, 1, 2)], [part(big, 0, len(big))], [part(big, 7, 9)]], tls=tls)
    reader = read(server.url())
    assert reader.probe().size_bytes == len(big)
    assert read_span(reader, 0, len(big), size_bytes=len(big)) == big
    assert not reader.hang_up()
    assert read_span(reader, 7, 9, size_bytes=len(big)) == big[7:9]
    assert server.connections == 1


def test_a_tls_body_cut_by_a_plain_close_is_short_even_without_a_length(
    serve: Serve, read: Read, tls: ssl.SSLContext
) -> None:
    head = answer("200 OK", length=False)
    cut = read(serve([[head, CONTENT, Act.CLOSE]], tls=tls).url())
    with pytest.raises(SourceFault) as caught:
        read_span(cut, 0, None, size_bytes=-1)
    assert caught.value.kind == FaultKind.SHORT_BODY
    proper = read(serve([[head, CONTENT]], tls=tls).url())
    assert read_span(proper, 0, None, size_bytes=-1) == CONTENT


def test_a_tls_dribble_keeps_to_the_slice_and_hanging_up_is_a_stop(
    serve: Serve, read: Read, tls: ssl.SSLContext
) -> None:
    head = part(CONTENT, 0, SIZE)[:-SIZE]
    reader = read(serve([[head, b"abc", Act.PAUSE, b"def", Act.HANG]], tls=tls).url())
    reader.open(0, SIZE, size_bytes=SIZE)
    view = memoryview(bytearray(SIZE))
    for _ in range(6):
        reader.read_into(view[reader.position :])
    assert bytes(view[: reader.position]) == b"abcdef"
    assert reader.hang_up()


def test_a_certificate_of_unknown_issuer_is_not_trusted(serve: Serve, read: Read) -> None:
    server = serve([PROBE], tls=server_context(trustme.CA(), "127.0.0.1"))
    fault = fault_of_probe(read, server.url())
    assert fault.kind == FaultKind.TLS_UNTRUSTED
    assert "issuer" in fault.detail or "self" in fault.detail


def test_the_trust_store_is_loaded_once_by_threads_that_connect_at_once(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    many = tmp_path / "many.pem"
    many.write_bytes(authority.cert_pem.bytes() * 500)
    monkeypatch.setenv("SSL_CERT_FILE", str(many))
    together = threading.Barrier(4)

    def load(_: int) -> ssl.SSLContext:
        together.wait(60)
        return trust_store()

    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(load, range(4)))
    assert all(each is stores[0] for each in stores)


def test_a_certificate_of_another_host_is_not_trusted(
    serve: Serve, read: Read, tls: ssl.SSLContext, authority: trustme.CA
) -> None:
    server = serve([PROBE], tls=server_context(authority, "other.example"))
    fault = fault_of_probe(read, server.url())
    assert fault.kind == FaultKind.TLS_UNTRUSTED
    assert "127.0.0.1" in fault.detail


def test_a_server_without_tls_is_reported_apart_from_one(serve: Serve, read: Read) -> None:
    server = serve([[answer("400 Bad Request"), Act.HANG]], greets=True)
    assert fault_of_probe(read, server.url(scheme="https")).kind == FaultKind.BAD_ANSWER


def test_a_server_that_shakes_no_hands_is_given_up(serve: Serve, read: Read) -> None:
    reader = read(serve([[Act.HANG]]).url(scheme="https"), settings=HttpSettings(connect_timeout_s=0.2))
    with pytest.raises(SourceFault) as caught:
        reader.probe()
    assert caught.value.kind == FaultKind.CONNECT_TIMEOUT


def test_a_server_that_breaks_the_handshake_is_reset(serve: Serve, read: Read) -> None:
    assert fault_of_probe(read, serve([[Act.CLOSE]], greets=True).url(scheme="https")).kind == FaultKind.RESET


def test_https_is_not_left_for_plain_http_where_that_is_forbidden(
    serve: Serve, read: Read, tls: ssl.SSLContext
) -> None:
    plain = serve([PROBE])
    server = serve([[answer("302 Found", f"Location: {plain.url()}")]], tls=tls)
    with pytest.raises(SourceFault) as caught:
        read(server.url(), settings=HttpSettings(options=HttpOptions(https_only=True))).probe()
    assert (caught.value.kind, "https" in caught.value.detail) == (FaultKind.OFF_TLS, True)
    assert not plain.requests


def test_where_https_leads_to_plain_http_nothing_secret_goes_along(
    serve: Serve, read: Read, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    plain = serve([PROBE])
    secure = serve([[answer("302 Found", f"Location: {plain.url()}", "Set-Cookie: a=1; Secure")]], tls=tls)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hidden")
    options = HttpOptions(
        headers=("Authorization: Bearer hidden", "Private-Token: hidden", "X-Api-Key: hidden", "X-Plain: shown"),
        netrc_file=str(netrc),
        cookies=("127.0.0.1\tFALSE\t/\tTRUE\t0\tid\thidden",),
    )
    probed = read(secure.url(login="me:hidden"), settings=HttpSettings(options=options)).probe()
    assert probed.size_bytes == SIZE
    assert any("redirects to plain http" in note for note in probed.described.notes)
    assert "authorization" in secure.fields(0)
    assert "hidden" not in str(plain.fields(0))
    assert plain.fields(0)["x-plain"] == "shown"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_reached_by_tls(
    serve: Serve, read: Read, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    big = CONTENT * 300
    script: list[list[bytes | Act]] = [[part(big, 1, 2)], [part(big, 0, len(big))], [part(big, 7, 9), Act.CLOSE]]
    server = serve(script, tls=tls) if scheme == "https" else serve(script)
    with ConnectRelay(b"HTTP/1.1 200 OK\r\n\r\n" if scheme == "https" else b"", server.port, tls=tls) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"https://me:secret@127.0.0.1:{proxy.port}")
        reader = read(server.url())
        assert reader.probe().size_bytes == len(big)
        assert read_span(reader, 0, len(big), size_bytes=len(big)) == big
        assert not reader.hang_up()
        assert read_span(reader, 7, 9, size_bytes=len(big)) == big[7:9]
        reader.close()
    assert server.connections == 1
    asked = proxy.request.decode() if scheme == "https" else server.requests[0].decode()
    assert asked.startswith(f"CONNECT 127.0.0.1:{server.port} " if scheme == "https" else f"GET {server.url()} ")
    assert "Proxy-Authorization: Basic " + base64.b64encode(b"me:secret").decode() in asked


def test_a_proxy_whose_certificate_is_not_trusted_is_named(
    serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve([PROBE], tls=server_context(trustme.CA(), "127.0.0.1"))
    monkeypatch.setenv("https_proxy", f"https://127.0.0.1:{proxy.port}")
    fault = fault_of_probe(read, "https://mirror.example/x")
    assert fault.kind == FaultKind.TLS_UNTRUSTED
    assert "the proxy 127.0.0.1" in fault.detail


def test_https_goes_through_a_proxy_by_connect(
    serve: Serve, read: Read, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve([PROBE, [part(CONTENT, 5, 9)]], tls=tls)
    with ConnectRelay(b"HTTP/1.1 200 Connection established\r\n\r\n", server.port) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
        reader = read(server.url(login="user:pw"))
        reader.probe()
        assert read_span(reader, 5, 9, size_bytes=SIZE) == CONTENT[5:9]
        asked = proxy.request.decode()
        reader.close()
    assert asked.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic " + base64.b64encode(b"me:secret").decode() in asked
    assert "\r\nAuthorization" not in asked, "the server's login is not the proxy's business"
    assert "proxy-authorization" not in server.fields(0), "nor the other way round"
    assert server.first_line(0) == "GET /file HTTP/1.1"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", FaultKind.FORBIDDEN),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", FaultKind.REFUSED),
        (b"HTTP/1.1 200 OK\r\n\r\nbytes before their time", FaultKind.BAD_ANSWER),
        (b"nonsense\r\n\r\n", FaultKind.BAD_ANSWER),
        (b"", FaultKind.BAD_ANSWER),
    ],
)
def test_a_proxy_that_makes_no_tunnel_is_named(
    serve: Serve, read: Read, monkeypatch: pytest.MonkeyPatch, words: bytes, kind: FaultKind
) -> None:
    proxy = serve([[words, Act.CLOSE]])
    monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
    fault = fault_of_probe(read, "https://mirror.example/x")
    assert fault.kind == kind
    assert "the proxy 127.0.0.1" in fault.detail
    assert "secret" not in fault.detail
