"""Who may do what. Everything needs a key or a session, but for the few paths that everybody may see.

A wrong key or none is 401; a right one from elsewhere than it may be used, or of too small a role, is 403.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from protocol.config.settings import ADMINISTRATOR, READ_ONLY, READ_WRITE, ROLES, ApiKey, Settings
from protocol.rest import sessions
from protocol.rest.addresses import is_in, sender
from protocol.rest.desk import Desk, RefusedError
from protocol.rest.errors import error_response
from protocol.rest.heads import head

ANONYMOUS: Final = {
    ("GET", "/health"),
    ("GET", "/health/ready"),
    ("POST", "/api/v0/session"),
    ("GET", "/api/v0/session/enabled"),
}
READING: Final = ("GET", "HEAD", "OPTIONS")
_CALLER: Final = "shoal.caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`kind`: ``key``, ``session``, or ``open`` where nobody is asked who they are."""

    name: str
    role: str
    kind: str

    def may(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


class Access:
    """Middleware. Leaves the `Caller` in the scope. Sees paths in their one spelling."""

    def __init__(self, app: ASGIApp, *, desk: Desk) -> None:
        self._app: Final = app
        self._desk: Final = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["method"].replace("HEAD", "GET"), scope["path"]) not in ANONYMOUS:
            try:
                scope[_CALLER] = self._let_in(scope)
            except RefusedError as refused:
                response = error_response(scope["path"], refused.kind, refused.field, refused.detail)
                if refused.kind == "unauthorized":
                    response.headers["WWW-Authenticate"] = "Bearer"
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _let_in(self, scope: Scope) -> Caller:
        caller = identified(scope, self._desk.settings)
        needed = READ_ONLY if scope["method"] in READING else READ_WRITE
        if not caller.may(needed):
            raise RefusedError("forbidden", "", f"this needs the role {needed}, yours is {caller.role}")
        return caller


def identified(scope: Scope, settings: Settings) -> Caller:
    """Raises `RefusedError`, ``unauthorized`` or ``forbidden``."""
    api = settings.api
    if not api.authentication:
        return Caller(name="anybody", role=ADMINISTRATOR, kind="open")
    word = head(scope, b"x-api-key")
    if not word:
        scheme, _, word = head(scope, b"authorization").partition(" ")
        word = word.strip() if scheme.lower() == "bearer" else ""
    if not word:
        raise RefusedError("unauthorized", "", "an API key or a session is needed")
    session = sessions.read(settings, word) if word.count(".") == 2 else None
    if session is not None:
        return Caller(name=session.name, role=session.role, kind="session")
    key = _key_of(word, api.keys)
    if key is None:
        raise RefusedError("unauthorized", "", "no such API key, no such session")
    if not is_in(sender(scope, api.proxies), key.networks):
        raise RefusedError("forbidden", "", "this API key may not be used from here")
    return Caller(name=key.name, role=key.role, kind="key")


def _key_of(word: str, keys: Iterable[ApiKey]) -> ApiKey | None:
    """Compares with all of them, also after one fitted."""
    found = None
    for key in keys:
        if sessions.is_key(word, key.key):
            found = key
    return found


def caller(request: Request) -> Caller:
    """A dependency: who asks."""
    who: Caller = request.scope[_CALLER]
    return who


def administrator(request: Request) -> None:
    """A dependency: only for administrators."""
    who = caller(request)
    if not who.may(ADMINISTRATOR):
        raise RefusedError("forbidden", "", f"this needs the role {ADMINISTRATOR}, yours is {who.role}")
