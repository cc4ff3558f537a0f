"""One child process as its supervisor knows it."""

import contextlib
import os
import signal
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

from actors.runtime.process import ProcessSpec


@dataclass(slots=True, kw_only=True)
class Child:
    """`generation`: how often a process of this name was started before. `kill_s`: when it is killed, having been told
    to say where it stands; None while it is well."""

    spec: ProcessSpec
    process: BaseProcess
    pid: int
    watch_fd: int  # ready when it has died: a pidfd, or where there are none multiprocessing's sentinel
    is_pidfd: bool
    generation: int
    begun_s: float
    ready: bool = False
    leaving: bool = False  # was asked to end: its death is no news
    gone: bool = False
    verdict: str = ""  # why we killed it, when we did
    failed: bool = False  # the verdict is that one of its actors failed
    kill_s: float | None = None
    pinged: int = 0
    answered: int = 0

    @property
    def name(self) -> str:
        return self.spec.process

    def signal(self, number: signal.Signals) -> None:
        """Harmless when it has died."""
        if self.gone:
            return
        with contextlib.suppress(ProcessLookupError, ValueError):
            if self.is_pidfd:
                signal.pidfd_send_signal(self.watch_fd, number)
            else:
                os.kill(self.pid, number)


def in_words(code: int | None) -> str:
    """How a process with this exit code ended."""
    if code is None:
        return "ended, nobody knows how"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"
    return f"exited with code {code}"
