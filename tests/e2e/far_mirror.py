"""HTTP mirror on an address of its own namespace, for tests of bound connections: ``python -m tests.e2e.far_mirror``.

Arguments: host, port, size and bytes a second. Writes the address of each caller to stdout.
"""

import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

STEP_S: Final = 0.05
PATTERN: Final = bytes(range(251)) * 16


def content(size: int) -> bytes:
    """Return the file."""
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    data = b""
    rate_bytes_s = 0

    def do_GET(self) -> None:
        sys.stdout.write(f"{self.client_address[0]}\n")
        sys.stdout.flush()
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        stop = min(int(found[2]) + 1, len(self.data)) if found and found[2] else len(self.data)
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("ETag", '"one"')
        if found:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(self.data)}")
        self.end_headers()
        step = int(self.rate_bytes_s * STEP_S)
        for at in range(start, stop, step):
            self.wfile.write(self.data[at : min(at + step, stop)])
            time.sleep(STEP_S)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    host, port, size, rate_bytes_s = sys.argv[1], *map(int, sys.argv[2:])
    _Handler.data, _Handler.rate_bytes_s = content(size), rate_bytes_s
    server = ThreadingHTTPServer((host, port), _Handler)
    server.daemon_threads = True
    server.serve_forever()
