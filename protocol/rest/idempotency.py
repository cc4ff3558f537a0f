"""The same order sent twice makes one job: what an Idempotency-Key stood for, remembered.

Owned by the API's process, bounded, and lost with it: a client that repeats an order across a restart of that process
looks into the list of jobs first.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from protocol.rest.desk import RefusedError
from protocol.snapshots import JobSnapshot

KEYS_MAX: Final = 4096
"""The oldest are forgotten: at most some megabytes."""


class Orders:
    """Invariant: a key stands here while its order is under way or has made a job, and not after it failed."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max: Final = keys_max
        self._known: OrderedDict[str, tuple[bytes, asyncio.Future[JobSnapshot]]] = OrderedDict()

    async def once(self, key: str | None, body: bytes, place: Callable[[], Awaitable[JobSnapshot]]) -> JobSnapshot:
        """The job as it was when it was made: by `place` now, or earlier by this key and body.

        Raises what `place` raises, and `RefusedError` when the key came with another body before.
        """
        if key is None:
            return await place()
        digest = hashlib.sha256(body).digest()
        known = self._known.get(key)
        if known is not None:
            if known[0] != digest:
                raise RefusedError("conflict", "Idempotency-Key", "this key came with another body before")
            return await asyncio.shield(known[1])
        return await self._first(key, digest, place)

    async def _first(self, key: str, digest: bytes, place: Callable[[], Awaitable[JobSnapshot]]) -> JobSnapshot:
        made: asyncio.Future[JobSnapshot] = asyncio.get_running_loop().create_future()
        self._known[key] = (digest, made)
        while len(self._known) > self._keys_max:
            self._known.popitem(last=False)
        try:
            made.set_result(await place())
        except BaseException as error:
            self._known.pop(key, None)
            if isinstance(error, Exception):
                made.set_exception(error)
                made.exception()  # looked at: nobody else may be waiting for it
            else:
                made.cancel()
            raise
        return made.result()
