"""One spelling for every path: without the base and the trailing slash, literal parts in lower case.

Parameters (user names, ids) stay as they are written.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS: Final = "shoal.methods"
"""Of a request's scope: the methods that there are at its path."""


class Paths:
    """Middleware. `routes` have `path` and `methods`, in the order in which they are tried."""

    def __init__(self, app: ASGIApp, *, routes: Iterable[Any], url_base: str = "") -> None:
        self._app: Final = app
        self._url_base: Final = url_base
        self._known: Final = [_known(route) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = self.plain(scope["method"], scope["path"])
            scope[METHODS] = self.methods(scope["path"])
        await self._app(scope, receive, send)

    def methods(self, path: str) -> str:
        """What there is at this path, as an Allow header says it: of all its routes, not of the first one only."""
        return ", ".join(sorted({one for methods, regex, _ in self._known if regex.match(path) for one in methods}))

    def plain(self, method: str, path: str) -> str:
        """The path as our routes spell it; one that nobody serves comes back without base and slash only."""
        path = without_base(path, self._url_base).rstrip("/") or "/"
        found = [(methods, match, shape) for methods, regex, shape in self._known if (match := regex.match(path))]
        for _methods, match, shape in sorted(found, key=lambda one: method not in one[0]):
            return shape.format(**match.groupdict())
        return path


def without_base(path: str, base: str) -> str:
    """What a proxy shows below its base; also without it, as proxies differ in whether they cut it off."""
    below = path.lower().startswith(base.lower()) and path[len(base) : len(base) + 1] in ("", "/")
    return path[len(base) :] if base and below else path


def _known(route: Any) -> tuple[frozenset[str], re.Pattern[str], str]:
    regex, shape, _ = compile_path(route.path)
    return frozenset(route.methods or ()), re.compile(regex.pattern, re.IGNORECASE), shape
