"""Front of an S3 server that refuses what a test asks for, as buckets that are full, read-only or strict do."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from protocol.model.value import Closing

ERROR = "<Error><Code>{code}</Code><Message>{words}</Message></Error>"


class RefusingBucket(Closing):
    """Passes requests on to `url`. `refuse` makes it refuse parts, or the beginning of uploads, until `relent`."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._refusal: tuple[str, int, str, str] | None = None
        self.refused = 0
        front = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                refusal = front._refusal
                if refusal is not None and refusal[0] == self.command:
                    front.refused += 1
                    self._answer(refusal[1], {}, ERROR.format(code=refusal[2], words=refusal[3]).encode())
                    return
                line = http.client.HTTPConnection(front._host, timeout=30)
                kept = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                line.request(self.command, self.path, body=body or None, headers=kept)
                answer = line.getresponse()
                self._answer(answer.status, dict(answer.headers), answer.read())
                line.close()

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                left_out = ("content-length", "transfer-encoding", "connection", "date", "server")
                for name, value in headers.items():
                    if name.lower() not in left_out:
                        self.send_header(name, value)
                length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.handle_one)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def refuse(self, method: str, status: int, code: str, words: str = "") -> None:
        """Refuse requests of this method from now on."""
        self._refusal, self.refused = (method, status, code, words), 0

    def relent(self) -> None:
        self._refusal = None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
