"""Sessions: what a person who knows the password gets, a signed token (JWT, HS256) that lasts some days."""

import hashlib
import hmac
from dataclasses import dataclass

import jwt

from protocol.config.settings import ADMINISTRATOR, ROLES, ApiSettings, Settings


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
