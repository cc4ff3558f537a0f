"""Static files of the web page: ES modules, style sheet and documents, served as they lie in ``page/``.

They are read once and are small; nothing is built. Documents get the path below which a proxy shows the API. The page
loads nothing from elsewhere, runs no inline script and cannot write HTML (`POLICY`).
"""

import hashlib
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response

from protocol.http_api.gateway import Gateway
from protocol.http_api.middleware.authorization import PAGE

FOLDER: Final = Path(__file__).parent / "page"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_BASE: Final = b"{{base}}"


class _File:
    """One file as it is sent."""

    def __init__(self, path: Path, base: str) -> None:
        self.type: Final = TYPES[path.suffix]
        self.content: Final = (
            path.read_bytes().replace(_BASE, base.encode()) if path.suffix == ".html" else path.read_bytes()
        )
        self.tag: Final = f'"{hashlib.sha256(self.content).hexdigest()[:24]}"'


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(include_in_schema=False)
    base = gateway.settings.api.url_base
    files = {
        path.relative_to(FOLDER).as_posix(): _File(path, base)
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in TYPES
    }

    def sent(request: Request, name: str) -> Response:
        file = files.get(name)
        if file is None:
            raise HTTPException(404)
        headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.type, headers=headers)

    @routes.get("/")
    async def index(request: Request) -> Response:
        return sent(request, "index.html")

    @routes.get("/docs")
    async def docs(request: Request) -> Response:
        return sent(request, "docs.html")

    @routes.get("/favicon.ico")  # browsers ask for it by themselves
    async def icon(request: Request) -> Response:
        return sent(request, "icon.svg")

    @routes.get(PAGE + "{name:path}")
    async def file(request: Request, name: str) -> Response:
        return sent(request, name)

    return routes
