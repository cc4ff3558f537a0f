"""Two ends of a TCP connection on loopback."""

import socket


def pair() -> tuple[socket.socket, socket.socket]:
    """``(accepted, dialled)``, both blocking with a time limit; the caller owns them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        dialled = socket.create_connection(listener.getsockname(), timeout=10)
        accepted, _ = listener.accept()
        accepted.settimeout(10)
    return accepted, dialled
