"""Login throttle and one-time login tokens. Pure: the clock is passed in; memory is bounded."""

import hashlib
import ipaddress
import secrets
from collections import OrderedDict, deque
from typing import Final

WINDOW_S: Final = 300.0
OF_ONE_MAX: Final = 5
OF_ALL_MAX: Final = 50
ADDRESSES_MAX: Final = 10_000
TOKEN_S: Final = 600.0
TOKENS_MAX: Final = 16


class LoginThrottle:
    """Rate limiter of failed logins: `OF_ONE_MAX` an address and `OF_ALL_MAX` in all within `WINDOW_S`."""

    def __init__(self) -> None:
        self._all_s: deque[float] = deque()
        self._of_s: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str, *, now_s: float) -> float:
        """Return the seconds until this address may try again, 0: now."""
        own = self._of_s.get(_group(address), deque())
        return max(_wait_s(own, OF_ONE_MAX, now_s), _wait_s(self._all_s, OF_ALL_MAX, now_s))

    def failed(self, address: str, *, now_s: float) -> None:
        group = _group(address)
        own = self._of_s.setdefault(group, deque(maxlen=OF_ONE_MAX))
        self._of_s.move_to_end(group)
        own.append(now_s)
        self._all_s.append(now_s)
        if len(self._all_s) > OF_ALL_MAX:
            self._all_s.popleft()
        if len(self._of_s) > ADDRESSES_MAX:
            self._of_s.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget failures of this address: its user knows the password and may mistype it again."""
        self._of_s.pop(_group(address), None)


def _wait_s(failed_s: deque[float], most: int, now_s: float) -> float:
    recent = [at_s for at_s in failed_s if at_s > now_s - WINDOW_S]
    return recent[-most] + WINDOW_S - now_s if len(recent) >= most else 0.0


def _group(address: str) -> str:
    """Return the unit of counting: an IPv4 address, or the /64 of an IPv6 address, all of which one host holds."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return address


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
