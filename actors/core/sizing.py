"""A file whose size nobody announced: it is known when the first body has come to its end."""

from actors.core.board import UNBOUNDED
from actors.core.outbox import Outbox
from actors.core.riding import Riding
from protocol.messages import SizeLearned
from protocol.post import ASSEMBLER


def learn_size(riding: Riding, size_bytes: int, out: Outbox) -> str:
    """A body ended at this size. Returns what speaks against it: more than that is stored."""
    board = riding.board
    assert board.total == UNBOUNDED
    total, last = -(-size_bytes // riding.job.chunk_size), board.stored.last_run()
    if last is not None and last[1] > total:
        return f"sizes differ: a body ended after {size_bytes} bytes, another went on"
    riding.size_bytes = riding.report.size_bytes = size_bytes
    board.learn_total(total)
    riding.changed()
    out.post(ASSEMBLER, SizeLearned(job=riding.job.job, size_bytes=size_bytes))
    return ""
