"""Authorization middleware: API keys and sessions (JWT), and the role that a request needs.

All but a few anonymous paths need a key or a session. A wrong key or none is 401; a right one from a network it may not
be used from, or of too small a role, is 403.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

import jwt
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from protocol.config.settings import ADMINISTRATOR, READ_ONLY, READ_WRITE, ROLES, ApiKey, ApiSettings, Settings
from protocol.http_api.errors import error_response
from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.middleware.request_scope import client_address, header, header_values, is_in

SESSION: Final = "/api/v0/multisource/session"
"""Path of the page's login, where every caller may also log out."""
ANONYMOUS: Final = {
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/favicon.ico"),
    ("POST", SESSION),
    ("GET", "/health"),
    ("GET", "/health/ready"),
    ("POST", "/api/v0/session"),
    ("GET", "/api/v0/session/enabled"),
}
PAGE: Final = "/page/"
"""Where the page's files are, which hold no secret."""
HUB: Final = "/hub/"
"""Hubs only report, whatever the method."""
READING: Final = ("GET", "HEAD", "OPTIONS")
_CALLER: Final = "shoal.caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The authenticated client.

    `kind`: ``key``, ``session``, or ``open`` where authentication is off. `ends_s`: of a session, else 0.
    """

    name: str
    role: str
    kind: str
    ends_s: int = 0

    def may(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A login session: a signed token (JWT, HS256) that lasts some days.

    `key`: mark of the API key that it was begun with, empty: with the password or a link.
    """

    name: str
    role: str
    begun_s: int
    ends_s: int
    key: str = ""


class Authorization:
    """Middleware that leaves the `Caller` in the scope. Paths are normalized before it."""

    def __init__(self, app: ASGIApp, *, gateway: Gateway) -> None:
        self._app: Final = app
        self._gateway: Final = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_anonymous(scope["method"].replace("HEAD", "GET"), scope["path"]):
            try:
                scope[_CALLER] = self._authorized(scope)
            except RefusedError as refused:
                response = error_response(scope["path"], refused.kind, refused.field, refused.detail)
                if refused.kind == "unauthorized":
                    response.headers["WWW-Authenticate"] = "Bearer"
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _authorized(self, scope: Scope) -> Caller:
        caller = authenticated(scope, self._gateway.settings)
        harmless = scope["method"] in READING or scope["path"] == SESSION or scope["path"].startswith(HUB)
        needed = READ_ONLY if harmless else READ_WRITE
        if not caller.may(needed):
            raise RefusedError("forbidden", "", f"this needs the role {needed}, yours is {caller.role}")
        return caller


def is_anonymous(method: str, path: str) -> bool:
    """Return whether this may be asked without a key or session."""
    return (method, path) in ANONYMOUS or (method == "GET" and path.startswith(PAGE))


def is_authorized(scope: Scope) -> bool:
    """Return whether this request came with a key or session that is good for it."""
    return _CALLER in scope


def cookie_name(settings: Settings) -> str:
    """Return the name of the page's cookie: another one for each daemon, as browsers ignore ports."""
    return f"shoal_{hashlib.sha256(settings.jwt_key).hexdigest()[:8]}"


def _cookie(scope: Scope, name: str) -> str:
    pairs = (pair.strip().partition("=") for pair in "; ".join(header_values(scope, b"cookie")).split(";"))
    return next((value for key, _, value in pairs if key == name), "")


def _hub_token(scope: Scope) -> str:
    """Return the session's token in the address of a hub: a browser's event stream can send no header."""
    if not scope["path"].startswith(HUB):
        return ""
    query: bytes = scope["query_string"]
    return parse_qs(query.decode("latin-1")).get("access_token", [""])[-1]


def authenticated(scope: Scope, settings: Settings) -> Caller:
    """Return who sent a request. Raises `RefusedError`, ``unauthorized`` or ``forbidden``."""
    api = settings.api
    if not api.authentication:
        return Caller(name="anybody", role=ADMINISTRATOR, kind="open")
    word = header(scope, b"x-api-key")
    if not word:
        scheme, _, word = header(scope, b"authorization").partition(" ")
        word = (
            word.strip() if scheme.lower() == "bearer" else _cookie(scope, cookie_name(settings)) or _hub_token(scope)
        )
    if not word:
        raise RefusedError("unauthorized", "", "an API key or a session is needed")
    session = read_session(settings, word) if word.count(".") == 2 else None
    key = key_of(word, api.keys) if session is None else _key_behind(session, api.keys)
    if session is not None and not session.key:
        return Caller(name=session.name, role=session.role, kind="session", ends_s=session.ends_s)
    if key is None:
        raise RefusedError("unauthorized", "", "no such API key, no such session")
    if not is_in(client_address(scope, api.proxies), key.networks):
        raise RefusedError("forbidden", "", "this API key may not be used from here")
    if session is not None:
        return Caller(name=key.name, role=key.role, kind="session", ends_s=session.ends_s)
    return Caller(name=key.name, role=key.role, kind="key")


def key_of(word: str, keys: Iterable[ApiKey]) -> ApiKey | None:
    """Return the key that matches, compared with all of them in constant time."""
    found = None
    for key in keys:
        if is_key(word, key.key):
            found = key
    return found


def _key_behind(session: Session, keys: Iterable[ApiKey]) -> ApiKey | None:
    """Return the key that a session was begun with; None when it is configured no more."""
    return next((key for key in keys if _mark_of(key) == session.key), None) if session.key else None


def _mark_of(key: ApiKey) -> str:
    return _digest(key.key).hex()[:32]


def caller(request: Request) -> Caller:
    """Return the caller (a FastAPI dependency)."""
    who: Caller = request.scope[_CALLER]
    return who


def administrator(request: Request) -> None:
    """Refuse everybody but administrators (a FastAPI dependency)."""
    who = caller(request)
    if not who.may(ADMINISTRATOR):
        raise RefusedError("forbidden", "", f"this needs the role {ADMINISTRATOR}, yours is {who.role}")


def new_session(settings: Settings, name: str, *, now_s: int, key: ApiKey | None = None) -> Session:
    """Return a session that begins now."""
    return Session(
        name=name,
        role=key.role if key is not None else ADMINISTRATOR,
        begun_s=now_s,
        ends_s=now_s + settings.api.session_s,
        key=_mark_of(key) if key is not None else "",
    )


def token_of(settings: Settings, session: Session) -> str:
    """Return the token of a session."""
    claims = {
        "name": session.name,
        "role": session.role,
        "iat": session.begun_s,
        "nbf": session.begun_s,
        "exp": session.ends_s,
        **({"key": session.key} if session.key else {}),
    }
    return jwt.encode(claims, _key(settings), algorithm="HS256")


def read_session(settings: Settings, token: str) -> Session | None:
    """Return the content of a token; None when it is not ours, expired, or of another password."""
    try:
        claims = jwt.decode(token, _key(settings), algorithms=["HS256"], options={"require": ["exp", "nbf", "iat"]})
        name, role, key = claims["name"], claims["role"], claims.get("key", "")
    except (jwt.PyJWTError, KeyError, ValueError, RecursionError):
        return None
    if role not in ROLES or not isinstance(name, str) or not isinstance(key, str):
        return None
    return Session(name=name, role=role, begun_s=int(claims["nbf"]), ends_s=int(claims["exp"]), key=key)


def is_password(api: ApiSettings, name: str, password: str) -> bool:
    """Return whether both are right, compared in constant time."""
    given = [_digest(name), _digest(password)]
    right = [_digest(api.username), _digest(api.password)]
    same = [hmac.compare_digest(one, other) for one, other in zip(given, right, strict=True)]
    return all(same) and bool(api.username and api.password)


def is_key(given: str, key: str) -> bool:
    """Return whether both are equal, compared in constant time."""
    return hmac.compare_digest(_digest(given), _digest(key))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _key(settings: Settings) -> bytes:
    """Return the signing key, which depends on the password: changing it ends all sessions."""
    api = settings.api
    words = "\0".join((api.username, api.password)).encode()
    return hmac.new(settings.jwt_key, words, hashlib.sha256).digest()
