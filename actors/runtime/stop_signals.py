"""Stop signals, SIGINT and SIGTERM: not lost during the start, and deferred while a process is launched."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)  # the one that raises here is delivered last
_came: Final = threading.Event()


def raise_interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Handle a stop signal until a command has its own handler: raise KeyboardInterrupt, and remember it.

    Python drops an exception raised in the callback of a weak reference, and importlib has one for each import: some
    interrupts of the start would be lost.
    """
    _came.set()
    raise KeyboardInterrupt


def raise_lost_interrupt() -> None:
    """Raise KeyboardInterrupt where a stop signal came to `raise_interrupt` and was dropped.

    To be called once more when a command's own handlers stand.
    """
    if _came.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def stop_signals_deferred() -> Iterator[None]:
    """Defer SIGINT and SIGTERM to the end of this block, here and in processes started inside.

    A process started in here inherits them blocked: a Ctrl-C for the whole group cannot kill the forkserver, nor a
    child before it has settled. Blocking is not enough for this process: another thread may take the signal, and
    Python then runs its handler in the main thread all the same.
    """
    held: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _STOP_SIGNALS} if is_main else {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        for number in handlers:
            signal.signal(number, lambda order, _frame: held.append(order))
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for order in sorted(set(held), reverse=True):
            signal.raise_signal(order)
