"""nginx on loopback ports for the speed bench: its own configuration, a child in the foreground, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from actors.runtime.free_ports import free_ports

READY_S_MAX = 10.0
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextlib.contextmanager
def nginx(program: str, served: Path, ports_count: int, *, certificate: Path | None = None) -> Iterator[list[str]]:
    """Serve one file on several ports; the URLs. Its configuration and logs go beside the file.

    The k-th port answers on 127.0.0.k as well as on 127.0.0.1, see `own_hosts`.
    `certificate`: a file with a key and its certificate; then it speaks TLS.
    """
    ports = free_ports(ports_count)
    configuration = served.parent / "nginx.conf"
    configuration.write_text(_configuration(served.parent, ports, certificate))
    errors = served.parent / "nginx.errors"
    with errors.open("wb") as said:
        command = [program, "-p", str(served.parent), "-e", str(errors), "-c", str(configuration)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        _wait_until_ready(process, ports, errors)
        scheme = "https" if certificate else "http"
        yield [f"{scheme}://127.0.0.1:{port}/{served.name}" for port in ports]
    finally:
        process.terminate()
        process.wait()


def own_hosts(urls: list[str]) -> list[str]:
    """The same ports, each under an address of its own."""
    return [url.replace("//127.0.0.1:", f"//127.0.0.{k}:") for k, url in enumerate(urls, 1)]


def _configuration(folder: Path, ports: list[int], certificate: Path | None) -> str:
    places = [f"127.0.0.1:{port}" for port in ports] + [f"127.0.0.{k}:{port}" for k, port in enumerate(ports[1:], 2)]
    ssl = " ssl" if certificate else ""
    listens = "\n".join(f"    listen {place}{ssl};" for place in places)
    if certificate:
        listens += f"\n    ssl_certificate {certificate};\n    ssl_certificate_key {certificate};"
    temporary = "\n".join(f"  {kind}_temp_path {folder}/nginx.{kind};" for kind in TEMPORARY)
    # Workers of a nginx started by root would be another user, who may not look into our folder.
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""{user}
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
{temporary}
  server {{
{listens}
    root {folder};
  }}
}}
"""


def _wait_until_ready(process: subprocess.Popen[bytes], ports: list[int], errors: Path) -> None:
    until_s = time.monotonic() + READY_S_MAX
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
                if process.returncode is not None or time.monotonic() > until_s:
                    raise RuntimeError(f"nginx does not start: {errors.read_text(errors='replace')}") from None
