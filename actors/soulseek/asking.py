"""When to say something again while we wait in a peer's queue. Times are of the monotonic clock."""

from actors.soulseek.settings import TalkTimes


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
