"""The pause between two attempts at one peer, and whose fault a late UploadFailed is about."""

import asyncio
import time

from actors.soulseek.settings import TalkTimes


class RetryTiming:
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


# When to say something again while we wait in a peer's queue. Times are of the monotonic clock.


class Asking:
    """One wait. The place is asked for now and then; the wish itself is said again only where the peer gives no sign
    that it knows of it: uploaders ignore a wish they have already, but some lose one."""

    def __init__(self, times: TalkTimes, now_s: float) -> None:
        self._times = times
        self._repeats_s = [now_s + repeat_s for repeat_s in times.repeat_s]
        self._place_s = now_s + times.place_first_s
        self._said_s = now_s

    @property
    def due_s(self) -> float:
        """When something is to be said next."""
        return min(self._place_s, self._said_s + self._times.repeat_every_s, *self._repeats_s[:1])

    def repeats(self, now_s: float) -> bool:
        """It is due: whether the wish is to be said again, else the place is to be asked for."""
        again = self._said_s + self._times.repeat_every_s <= now_s
        if self._repeats_s and self._repeats_s[0] <= now_s:
            del self._repeats_s[0]
            again = True
        if again:
            self._said_s = now_s
        else:
            self._place_s = now_s + self._times.place_every_s
        return again

    def heard(self, now_s: float) -> None:
        """The peer knows of our wish."""
        self._repeats_s.clear()
        self._said_s = now_s
