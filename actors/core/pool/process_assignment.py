"""In which fetch process each source is read: the one with the least to do, and what becomes of it when it dies."""

from typing import Final

RESTART_S_MAX: Final = 0.5
"""A process that is started anew later than in so long is not waited for."""
AWAY_S_MAX: Final = 2.0


class ProcessAssignment:
    """Owned by the PoolState. `names` are all fetch processes there can be; who lives has a load."""

    def __init__(self, names: tuple[str, ...]) -> None:
        assert names, "somebody has to fetch"
        self.names = names
        self._load = dict.fromkeys(names, 0)
        self._away: dict[str, float] = {}  # being started anew, and so long they are waited for

    def settle(self) -> str:
        """A home for one more source, empty when there is none."""
        if not self._load:
            return ""
        home = min(self._load, key=lambda name: self._load[name])
        self._load[home] += 1
        return home

    def take_back(self, home: str) -> None:
        """A source goes back to a process that was started anew."""
        self._load[home] += 1

    def leave(self, home: str) -> None:
        """One source less there."""
        if home in self._load:
            self._load[home] -= 1

    def lost(self, process: str, restart_s: float, *, now_s: float) -> bool:
        """It died. Whether its sources wait for it."""
        self._load.pop(process, None)
        waits = 0 <= restart_s <= RESTART_S_MAX
        if waits and process in self.names:
            self._away[process] = now_s + AWAY_S_MAX
        return waits

    def back(self, process: str) -> None:
        """It was started anew, with nothing to do."""
        self._away.pop(process, None)
        self._load[process] = 0

    def given_up(self, *, now_s: float) -> list[str]:
        """Who did not come back in time, while there is another home to go to. Each is named once."""
        late = [process for process, until_s in self._away.items() if until_s < now_s and self._load]
        for process in late:
            del self._away[process]
        return late
