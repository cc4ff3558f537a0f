"""Which file of the pool is meant by a size."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.client import pool as pools
from protocol.terminal.options import BadUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """`chunk_size` as options are written, empty: none was named."""

    target: pools.PoolTarget
    chunk_size: str = ""


def picked_from_pool(words: Sequence[str]) -> Picked | None:
    """``SIZE [CHUNK_KB]``, all digits; None when no file of the pool has this size: then they are words to search for.

    Of several files of one size the one that most have.
    """
    found = load_pool().of_size(int(words[0])) if len(words) <= 2 else []
    if not found:
        return None
    return Picked(target=found[0], chunk_size=f"{int(words[1])}K" if len(words) == 2 else "")


def load_pool() -> pools.Pool:
    try:
        return pools.load(os.environ)
    except pools.BadPool as error:
        raise BadUsage(str(error)) from None


def save_pool(pool: pools.Pool) -> None:
    try:
        pools.save(pool, os.environ)
    except pools.BadPool as error:
        raise BadUsage(str(error)) from None
