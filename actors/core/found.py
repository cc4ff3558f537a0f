"""What the Assembler found in a part file before it said that the target stands."""

from protocol.messages import ChunksVerified
from protocol.runs import RunSet


class Found:
    """`runs` re-hashed to their records; `claims` are ``(first, stop, hash of a source's name)`` of the same chunks."""

    def __init__(self) -> None:
        self.runs = RunSet()
        self.claims: list[tuple[int, int, int]] = []

    def hear(self, message: ChunksVerified) -> None:
        names = message.sources or (0,) * (len(message.runs) // 2)
        for first, stop, name_hash in zip(message.runs[::2], message.runs[1::2], names, strict=True):
            self.runs.add(first, stop)
            self.claims.append((first, stop, name_hash))
