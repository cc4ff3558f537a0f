"""An uploader's queue: who waits for which file, behind how many strangers, and whose turn it is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from actors.demo.soulseek.shares import Shared


@dataclass(frozen=True, slots=True)
class Place:
    """One wish. `turn_s` is when the last stranger ahead is served."""

    user: str
    shared: Shared
    turn_s: float


class Queue:
    """Places in the order in which they were taken. Times are any clock's, in seconds."""

    def __init__(self, strangers: int, step_s: float) -> None:
        self._strangers = strangers
        self._step_s = step_s
        self._places: list[Place] = []

    def __len__(self) -> int:
        return len(self._places)

    def clear(self) -> None:
        self._places.clear()

    def holds(self, user: str, path: str) -> bool:
        return self._find(user, path) is not None

    def take(self, user: str, shared: Shared, now_s: float) -> None:
        """A new place at the end, behind all the strangers."""
        self._places.append(Place(user, shared, now_s + self._strangers * self._step_s))

    def put_back(self, user: str, shared: Shared, turn_s: float) -> None:
        """A place whose turn is known."""
        self._places.append(Place(user, shared, turn_s))

    def next(self, busy: Collection[str], now_s: float) -> Place | None:
        """Take out the first place whose turn it is and whose user is not served already."""
        for place in self._places:
            if place.turn_s <= now_s and place.user not in busy:
                self._places.remove(place)
                return place
        return None

    def next_turn_s(self, now_s: float) -> float | None:
        """When the next place that still has to wait will have waited; None when there is none."""
        return min((place.turn_s for place in self._places if place.turn_s > now_s), default=None)

    def number(self, user: str, path: str, now_s: float) -> int | None:
        """The place as its user is told, from 1; None when there is none."""
        place = self._find(user, path)
        if place is None:
            return None
        left_s = max(0.0, place.turn_s - now_s)
        strangers = min(self._strangers, -int(-left_s // self._step_s)) if self._step_s else 0
        return strangers + self._places.index(place) + 1

    def length(self) -> int:
        """As search replies tell it."""
        return self._strangers + len(self._places)

    def _find(self, user: str, path: str) -> Place | None:
        return next((place for place in self._places if (place.user, place.shared.path) == (user, path)), None)
