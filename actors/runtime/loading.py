"""Garbage collection while modules are loaded: there is none. For the children see `actors.runtime.before_fork`."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Load modules without garbage collection: they live to the end, and looking through them costs a tenth more."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
