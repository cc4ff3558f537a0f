"""A storm: signals to random processes of one running download, at random moments. One seed, one storm."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped,unused-ignore]

from tests.e2e.program import Running

NAMES = ("hub", "store", "fetch-1", "fetch-2")


@dataclass
class Storm:
    """`strikes` signals, one about every `every_s`; those that hit no one (it was just being started) are made up for.

    Only children of the program are hit, by name: never the program itself, nor what multiprocessing runs for it.
    """

    running: Running
    seed: int
    strikes: int
    every_s: float
    orders: Sequence[signal.Signals] = (signal.SIGKILL,)
    hits: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._rage, name="storm", daemon=True)

    def __enter__(self) -> Storm:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()

    def wait(self, timeout_s: float) -> None:
        """Until the last signal was sent, or the program ended."""
        self._thread.join(timeout_s)

    def _rage(self) -> None:
        while len(self.hits) < self.strikes and not self._over.is_set() and self.running.process.poll() is None:
            if self._over.wait(self._dice.uniform(0.5, 1.5) * self.every_s):
                return
            self._strike(self._dice.choice(NAMES), self._dice.choice(list(self.orders)))

    def _strike(self, name: str, order: signal.Signals) -> None:
        with suppress(psutil.Error, AssertionError):
            self.running.child(name).send_signal(order)
            self.hits.append((name, order.name))
