"""Interfaces and the guard of what is bound to them, by the loopback interface, which every machine has."""

import socket
from collections.abc import Iterator

import pytest

from actors.runtime import network_interface
from actors.runtime.network_interface import (
    NOWHERE,
    InterfaceGone,
    InterfaceGuard,
    bind_socket,
    check_interface_there,
    interface_state,
)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


@pytest.mark.parametrize("interface", ["", "lo", "127.0.0.1"])
def test_what_is_there_is_there(interface: str) -> None:
    check_interface_there(interface)
    assert not interface or interface_state(interface) == (socket.if_nametoindex("lo"), "127.0.0.1")


@pytest.mark.parametrize(
    ("interface", "words"),
    [
        ("no-such-0", "interface no-such-0 is gone"),
        ("192.0.2.77", "no interface has the address 192.0.2.77"),
        ("2001:db8::77", "no interface has the address 2001:db8::77"),
        ("fe80::1%no-such-0", "no interface has the address fe80::1%no-such-0"),
    ],
)
def test_what_is_not_there_is_said(interface: str, words: str) -> None:
    with pytest.raises(InterfaceGone) as caught:
        check_interface_there(interface)
    assert caught.value.words == words
    assert interface_state(interface) == NOWHERE
    with socket.socket() as made, pytest.raises(OSError, match=r".*"):
        bind_socket(made, interface)


def test_a_bound_socket_leaves_from_the_interface_s_address_also_where_no_device_may_be_bound(
    sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain(socket.socket):
        def setsockopt(self, *_arguments: object) -> None:
            raise PermissionError

    with Plain() as plain:
        bind_socket(plain, "lo")
        assert plain.getsockname()[0] == "127.0.0.1"
    bind_socket(sock, "127.0.0.9")
    assert sock.getsockname()[0] == "127.0.0.9"


@pytest.mark.parametrize("interface", ["lo", "127.0.0.1", ""])
def test_a_guard_ends_what_has_lost_its_address(
    sock: socket.socket, monkeypatch: pytest.MonkeyPatch, interface: str
) -> None:
    sock.bind(("127.0.0.1", 0))
    guard = InterfaceGuard(sock, interface)
    guard.check()
    monkeypatch.setattr(network_interface, "CHECK_S", 0.0)
    guard = InterfaceGuard(sock, interface)
    guard.check()
    monkeypatch.setattr(network_interface, "_is_ours", lambda _address: False)
    with pytest.raises(InterfaceGone):
        guard.check()
