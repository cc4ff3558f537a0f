"""When every source is out: up to three more rounds with those that have delivered, each of which needs progress."""

from typing import Final

from actors.core.standing import Source, Standing, warm

ROUNDS_MAX: Final = 3
PAUSE_S: Final = 0.5
"""Before round n everybody rests n times this."""


class Rounds:
    """Owned by one `DispatchState`. `count` is how many rounds were begun."""

    def __init__(self) -> None:
        self.count = 0
        self._mark = 0

    def begin(self, sources: dict[int, Source], stored_chunks: int, *, now_s: float) -> int:
        """How many sources take part in another round; 0: there is none, because nobody is proven, the last round
        brought nothing, or it was the last."""
        proven = [each for each in sources.values() if each.proven and each.standing is Standing.COOLING]
        progress = self.count == 0 or stored_chunks > self._mark
        if not progress or self.count >= ROUNDS_MAX or not proven:
            return 0
        self.count += 1
        self._mark = stored_chunks
        for source in proven:
            warm(source)
            source.failures = 0
            source.not_before_s = now_s + self.count * PAUSE_S
        return len(proven)
