"""Network interface that connections are bound to, and the guard that ends them when it is gone.

An interface is named (``wg0``) or meant by one of its addresses. Its sockets leave by it only: SO_BINDTODEVICE where
that is allowed, else its address as the source address, which alone does not choose the way that packets take. A
connection holds as long as the interface is up, is the same one, and has the connection's own address: without this
check the system would send on by another route.
"""

import array
import contextlib
import errno
import fcntl
import socket
import struct
import time
from typing import Final

from protocol.model.value import Struct

CHECK_S: Final = 0.25
"""Period at which a connection's interface is looked at."""
_GET_FLAGS: Final = 0x8913
_GET_ADDRESS: Final = 0x8915
_GET_LIST: Final = 0x8912
_UP_AND_RUNNING: Final = 0x1 | 0x40
_LOOPBACK: Final = 0x8
_ROW: Final = struct.Struct(f"16s4x4s{struct.calcsize('PPHBBB0P') - 8}x")
"""``struct ifreq`` with an IPv4 address: a name, and a union as large as its largest member, ``struct ifmap``."""
_ROWS_MAX: Final = 512
_NAME_BYTES_MAX: Final = 15
NOWHERE: Final = (0, "")
"""`interface_state` of what is not there."""
_IPV6_LIST: Final = "/proc/net/if_inet6"


class InterfaceGone(OSError):  # noqa: N818
    """The interface is not there, down, or another one. `words` is one line for people."""

    def __init__(self, words: str) -> None:
        super().__init__(errno.ENETDOWN, words)
        self.words = words


def is_address(interface: str) -> bool:
    """Return whether this is an IP address, not the name of an interface."""
    return ":" in interface or interface.replace(".", "").isdigit()


def check_interface_there(interface: str) -> None:
    """Raise `InterfaceGone` when the interface is not there, or down. An empty name means any."""
    if interface and not is_address(interface):
        if _index(interface) == 0:
            raise InterfaceGone(f"interface {interface} is gone")
        if not _is_up(interface):
            raise InterfaceGone(f"interface {interface} is down")
    elif interface:
        if not _is_ours(interface):
            raise InterfaceGone(f"no interface has the address {interface}")
        holder = _holder(interface)
        if holder and not _is_up(holder):
            raise InterfaceGone(f"interface {holder} with the address {interface} is down")


def interface_state(interface: str) -> tuple[int, str]:
    """Return what tells one time of an interface from the next: its number and address; empty: it is not there."""
    try:
        check_interface_there(interface)
    except InterfaceGone:
        return NOWHERE
    name = _holder(interface) if is_address(interface) else interface
    return (_index(name), interface if is_address(interface) else _address_of(name, socket.AF_INET))


def bind_socket(sock: socket.socket, interface: str, *, port: int = 0) -> None:
    """Have a socket leave from this interface, or this address and its interface, only; empty: any. Raises OSError.

    Where a process may not bind to a device, the interface's address of the socket's family is the source address.
    """
    if not interface:
        return
    if is_address(interface):
        holder = _holder(interface)
        if holder and not _flags(holder) & _LOOPBACK:  # an address of its own there may be that of all others
            with contextlib.suppress(PermissionError):
                _bind_to_device(sock, holder)
        sock.bind((interface, port))
        return
    try:
        _bind_to_device(sock, interface)
    except PermissionError:
        address = _address_of(interface, sock.family)
        if not address:
            raise InterfaceGone(f"interface {interface} has no address of this IP version") from None
        sock.bind((address, port))


def _bind_to_device(sock: socket.socket, name: str) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise InterfaceGone(f"interface {name} is gone") from None
        raise


class _Bound(Struct, frozen=True):
    """Binding of a connection: `index` and `name` of the interface, and its own address."""

    interface: str
    index: int
    name: str
    local: str


class InterfaceGuard:
    """Guard of one connection: `check` says from time to time whether it may go on. Used by one thread."""

    def __init__(self, sock: socket.socket, interface: str) -> None:
        """`interface` empty: what has the connection's own address."""
        local = str(sock.getsockname()[0]).partition("%")[0]
        name = interface if interface and not is_address(interface) else _holder(local)
        self._bound = _Bound(interface or name, _index(name), name, local)
        self._due_s = 0.0

    def check(self) -> None:
        """Raise `InterfaceGone` when the connection must end. Looks at most every `CHECK_S`."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + CHECK_S
        bound = self._bound
        if bound.interface:
            check_interface_there(bound.interface)
        if _index(bound.name) != bound.index or not _is_ours(bound.local):
            raise InterfaceGone(f"interface {bound.interface} has another address than {bound.local}")


def _index(name: str) -> int:
    """Return the number of an interface, 0 when there is none of this name."""
    try:
        return socket.if_nametoindex(name) if name else 0
    except OSError:
        return 0


def _asked(name: str, request: int) -> bytes:
    """Return what the kernel says of an interface, empty when it says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        return fcntl.ioctl(sock.fileno(), request, struct.pack("40s", name.encode()[:_NAME_BYTES_MAX]))
    return b""


def _flags(name: str) -> int:
    """Return the flags of an interface, 0 when there is none of this name."""
    found = _asked(name, _GET_FLAGS)
    return int(struct.unpack_from("<H", found, 16)[0]) if found else 0


def _is_up(name: str) -> bool:
    return _flags(name) & _UP_AND_RUNNING == _UP_AND_RUNNING


def _is_ours(address: str) -> bool:
    """Return whether this machine has the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and not isinstance(error, socket.gaierror)
    return True


def _address_of(name: str, family: int) -> str:
    """Return the first address of an interface that serves as a source address; empty without one."""
    if family == socket.AF_INET:
        found = _asked(name, _GET_ADDRESS)
        return socket.inet_ntoa(found[20:24]) if found else ""
    return next((address for each, address, scope in _ipv6() if each == name and scope == 0), "")


def _holder(address: str) -> str:
    """Return the name of the interface that has this address; empty where that cannot be seen."""
    if "%" in address:
        return address.partition("%")[2]
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address)
        return next((name for name, own, _ in _ipv6() if socket.inet_pton(socket.AF_INET6, own) == packed), "")
    return next((name for name, own in _ipv4() if own == address), "")


def _ipv4() -> list[tuple[str, str]]:
    """Return ``(interface, address)`` of all IPv4 addresses, also of further ones of an interface."""
    rows = array.array("B", bytes(_ROWS_MAX * _ROW.size))
    place, length = rows.buffer_info()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            found = fcntl.ioctl(sock.fileno(), _GET_LIST, struct.pack("iP", length, place))
    except OSError:
        return []
    filled = rows.tobytes()[: struct.unpack_from("i", found)[0]]
    named = ((name.split(b"\0")[0].decode(errors="surrogateescape"), own) for name, own in _ROW.iter_unpack(filled))
    return [(name.partition(":")[0], socket.inet_ntoa(own)) for name, own in named]


def _ipv6() -> list[tuple[str, str, int]]:
    """Return ``(interface, address, scope)`` of all IPv6 addresses; scope 0 is global."""
    try:
        with open(_IPV6_LIST, encoding="ascii") as file:
            rows = [line.split() for line in file]
    except OSError:
        return []
    return [
        (row[5], socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])), int(row[3], 16))
        for row in rows
        if len(row) == 6
    ]
