"""Sample of a file that is being received: its newest bytes, which show whether a later answer has the same file."""

from typing import Final

SAMPLE_BYTES: Final = 64 << 10
SAMPLE_AHEAD_BYTES: Final = 1 << 20
"""A body that is read again begins at a chunk's start: the sample is kept until it has come this far behind it."""


class Sample:
    """The newest bytes that were received of the file, from offset `start` on: what a later answer is compared with."""

    def __init__(self) -> None:
        self.start = 0
        self.data = b""

    @property
    def stop(self) -> int:
        return self.start + len(self.data)

    def take(self, position: int, data: memoryview) -> bool:
        """Compare the bytes at `position` with the sample where they overlap, then keep the newest. False: they differ.

        Those kept before stay while a body that began before them has not come to them.
        """
        end = position + len(data)
        first, stop = max(self.start, position), min(self.stop, end)
        known = memoryview(self.data)[first - self.start : stop - self.start] if first < stop else None
        if known is not None and data[first - position : stop - position] != known:
            return False
        if end >= self.stop or self.stop - end > SAMPLE_AHEAD_BYTES:
            newest = data[-SAMPLE_BYTES:]
            self.start, self.data = end - len(newest), bytes(newest)
        return True
