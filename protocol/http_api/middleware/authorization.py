"""Who may do what. Everything needs a key or a session, but for the few paths that everybody may see.

A wrong key or none is 401; a right one from elsewhere than it may be used, or of too small a role, is 403.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import jwt
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from protocol.config.settings import ADMINISTRATOR, READ_ONLY, READ_WRITE, ROLES, ApiKey, ApiSettings, Settings
from protocol.http_api.errors import error_response
from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.middleware import authorization
from protocol.http_api.middleware.client_address import head, is_in, sender

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

    def __init__(self, app: ASGIApp, *, desk: Gateway) -> None:
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
    session = authorization.read(settings, word) if word.count(".") == 2 else None
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
        if authorization.is_key(word, key.key):
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


# Sessions: what a person who knows the password gets, a signed token (JWT, HS256) that lasts some days.


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    name: str
    role: str
    begun_s: int
    ends_s: int


def begin(settings: Settings, name: str, *, now_s: int) -> tuple[str, Session]:
    """The token and what it says."""
    session = Session(name=name, role=ADMINISTRATOR, begun_s=now_s, ends_s=now_s + settings.api.session_s)
    claims = {
        "name": session.name,
        "role": session.role,
        "iat": session.begun_s,
        "nbf": session.begun_s,
        "exp": session.ends_s,
    }
    return jwt.encode(claims, _key(settings), algorithm="HS256"), session


def read(settings: Settings, token: str) -> Session | None:
    """What a token says; None when it is not ours, or over, or of another password."""
    try:
        claims = jwt.decode(
            token,
            _key(settings),
            algorithms=["HS256"],
            options={"require": ["exp", "nbf", "iat"]},
        )
        name, role = claims["name"], claims["role"]
    except (jwt.PyJWTError, KeyError, ValueError, RecursionError):
        return None
    if role not in ROLES or not isinstance(name, str):
        return None
    return Session(name=name, role=role, begun_s=int(claims["nbf"]), ends_s=int(claims["exp"]))


def is_password(api: ApiSettings, name: str, password: str) -> bool:
    """Compared without telling by the time it takes how much of it was right."""
    given = [_digest(name), _digest(password)]
    right = [_digest(api.username), _digest(api.password)]
    same = [hmac.compare_digest(one, other) for one, other in zip(given, right, strict=True)]
    return all(same) and bool(api.username and api.password)


def is_key(given: str, key: str) -> bool:
    return hmac.compare_digest(_digest(given), _digest(key))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _key(settings: Settings) -> bytes:
    """Another password, another key: who changes it ends all sessions."""
    api = settings.api
    words = "\0".join((api.username, api.password)).encode()
    return hmac.new(settings.jwt_key, words, hashlib.sha256).digest()
