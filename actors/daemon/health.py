"""How the processes are, for those who watch over a daemon."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from actors.vitals import ProcessHealth
from protocol.messages import HealthTold

HEALTH_S: Final = 15.0
"""So often it is told. Looking costs some milliseconds a process."""


class Health:
    """What the system does not say of a process: since when it is, and how many of its name were there before."""

    def __init__(self, front: str, *, now_s: float) -> None:
        self._begun_s: dict[str, float] = {front: now_s}
        self._restarts: Counter[str] = Counter()

    def ready(self, process: str, *, now_s: float) -> None:
        self._begun_s[process] = now_s

    def lost(self, process: str) -> None:
        self._restarts[process] += 1

    def told(self, seen: Iterable[ProcessHealth], *, now_s: float) -> Iterator[HealthTold]:
        for one in seen:
            yield HealthTold(
                process=one.process,
                pid=one.pid,
                restarts=self._restarts[one.process],
                age_s=now_s - self._begun_s.get(one.process, now_s),
                cpu_s=one.cpu_s,
                memory_bytes=one.pss_bytes,
                fds=one.fds,
                threads=one.threads,
            )
