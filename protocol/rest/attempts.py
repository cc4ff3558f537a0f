"""How often somebody may try a password. Pure: the clock is passed in."""

import ipaddress
from collections import OrderedDict, deque
from typing import Final

WINDOW_S: Final = 300.0
OF_ONE_MAX: Final = 5
OF_ALL_MAX: Final = 50
ADDRESSES_MAX: Final = 10_000


class Attempts:
    """Failed logins of the last `WINDOW_S`. Invariant: at most `OF_ONE_MAX` of one address are looked at, `OF_ALL_MAX`
    in all; memory is bounded however many addresses try."""

    def __init__(self) -> None:
        self._all_s: deque[float] = deque()
        self._of_s: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str, *, now_s: float) -> float:
        """In how many seconds this address may try again; 0: now."""
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
        """Who knows the password may mistype it again."""
        self._of_s.pop(_group(address), None)


def _wait_s(failed_s: deque[float], most: int, now_s: float) -> float:
    recent = [at_s for at_s in failed_s if at_s > now_s - WINDOW_S]
    return recent[-most] + WINDOW_S - now_s if len(recent) >= most else 0.0


def _group(address: str) -> str:
    """Who holds an IPv6 address holds its whole network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return address
