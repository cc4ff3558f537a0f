"""The pause between two attempts at one peer, and whose fault a late UploadFailed is about."""

import asyncio
import time

from actors.soulseek.settings import TalkTimes


class Settling:
    """One peer's. After a stop the peer is asked again only when its UploadFailed has come or is late; one that comes
    later still is owed by the attempt before and concerns nobody."""

    def __init__(self, times: TalkTimes) -> None:
        self._times = times
        self._path = ""
        self._said = asyncio.Event()
        self._said.set()
        self._until_s = 0.0
        self._owed_until_s: dict[str, float] = {}

    @property
    def over(self) -> bool:
        """There is nothing that a later word could be about."""
        now_s = time.monotonic()
        return self._until_s < now_s and all(until_s < now_s for until_s in self._owed_until_s.values())

    def begin(self, path: str, *, stopped: bool) -> None:
        """A body of this file has ended. `stopped`: by us, before its end, so that an UploadFailed will come."""
        self._until_s = time.monotonic() + (self._times.upload_failed_s_max if stopped else self._times.finished_s)
        if stopped:
            self._path = path
            self._said.clear()

    async def wait(self) -> None:
        """Until the peer may be asked again."""
        left_s = max(0.0, self._until_s - time.monotonic())
        if self._said.is_set():
            await asyncio.sleep(left_s if self._path == "" else 0.0)
        else:
            try:
                async with asyncio.timeout(left_s):
                    await self._said.wait()
            except TimeoutError:
                self._said.set()
                self._owed_until_s[self._path] = time.monotonic() + self._times.owed_s_max
        self._path = ""
        self._until_s = 0.0

    def explains(self, path: str) -> bool:
        """Whether an UploadFailed that comes now is about an attempt that is over. Each explains one."""
        if not self._said.is_set() and path == self._path:
            self._said.set()
            return True
        return self._owed_until_s.pop(path, 0.0) >= time.monotonic()
