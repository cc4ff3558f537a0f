"""Login throttle and one-time login tokens. Pure: the clock is passed in; memory is bounded."""

import hashlib
import secrets
from collections import OrderedDict, deque
from typing import Any, Final

from protocol.http_api.middleware.request_scope import address_group

WINDOW_S: Final = 300.0
OF_ONE_MAX: Final = 5
OF_ALL_MAX: Final = 50
OF_ALL_HARD_MAX: Final = 1000
ADDRESSES_MAX: Final = 10_000
TOKEN_S: Final = 600.0
TOKENS_MAX: Final = 16


class LoginThrottle:
    """Rate limiter of failed logins within `WINDOW_S`: `OF_ONE_MAX` an address.

    After `OF_ALL_MAX` of all together an address has one try, after `OF_ALL_HARD_MAX` none, so that many addresses
    guess no faster than one. An address that has logged in before keeps its `OF_ONE_MAX`: no sum of other addresses'
    failures locks out those who know the password.
    """

    def __init__(self) -> None:
        self._all_s: deque[float] = deque(maxlen=OF_ALL_HARD_MAX)
        self._of_s: OrderedDict[str, deque[float]] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    def wait_s(self, address: str, *, now_s: float) -> float:
        """Return the seconds until this address may try again, 0: now."""
        group = address_group(address)
        own = self._of_s.get(group, deque())
        wait_s = _wait_s(own, OF_ONE_MAX, now_s)
        if group in self._known:
            return wait_s
        if _wait_s(self._all_s, OF_ALL_MAX, now_s) > 0:
            wait_s = max(wait_s, _wait_s(own, 1, now_s))
        return max(wait_s, _wait_s(self._all_s, OF_ALL_HARD_MAX, now_s))

    def failed(self, address: str, *, now_s: float) -> None:
        own = self._of_s.setdefault(address_group(address), deque(maxlen=OF_ONE_MAX))
        own.append(now_s)
        self._all_s.append(now_s)
        _trim(self._of_s, address_group(address))

    def succeeded(self, address: str) -> None:
        """Forget failures of this address: its user knows the password and may mistype it again."""
        self._of_s.pop(address_group(address), None)
        self._known[address_group(address)] = None
        _trim(self._known, address_group(address))


def _trim(entries: OrderedDict[str, Any], newest: str) -> None:
    entries.move_to_end(newest)
    if len(entries) > ADDRESSES_MAX:
        entries.popitem(last=False)


def _wait_s(failed_s: deque[float], most: int, now_s: float) -> float:
    recent = [at_s for at_s in failed_s if at_s > now_s - WINDOW_S]
    return recent[-most] + WINDOW_S - now_s if len(recent) >= most else 0.0


class OneTimeTokens:
    """Login links that were given out: each opens one session within `TOKEN_S`; only their hashes are held."""

    def __init__(self) -> None:
        self._until_s: OrderedDict[bytes, float] = OrderedDict()

    def add(self, token: str, *, until_s: float) -> None:
        """Accept this token until then. The oldest goes when there are `TOKENS_MAX`."""
        self._until_s[_hash(token)] = until_s
        if len(self._until_s) > TOKENS_MAX:
            self._until_s.popitem(last=False)

    def make(self, *, now_s: float) -> str:
        """Return a new token."""
        token = secrets.token_urlsafe(24)
        self.add(token, until_s=now_s + TOKEN_S)
        return token

    def take(self, token: str, *, now_s: float) -> bool:
        """Return whether the token is good; it is used up then."""
        return self._until_s.pop(_hash(token), -1.0) > now_s


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
