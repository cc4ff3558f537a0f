"""Cost of bad pieces: one of four mirrors flips a byte every 8 MiB of 64 MiB, a Metalink has the piece hashes.

``python -m tests.bench.pieces [RUNS]``: bytes fetched again against the bytes of bad pieces, and the time against four
honest mirrors. The file must be right in every run.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import tempfile
from pathlib import Path

from protocol.model.integrity.metalink import Pieces, write_metalink
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

SIZE = 64 << 20
PIECE = 256 << 10
EVERY = 8 << 20
RATE = 10e6


def document(content: Content, urls: list[str]) -> str:
    whole = content.whole()
    digests = b"".join(hashlib.sha256(whole[at : at + PIECE]).digest() for at in range(0, len(whole), PIECE))
    pieces = Pieces("sha256", PIECE, digests)
    return write_metalink("file.bin", content.size, checksums=[], pieces=pieces, urls=urls)


def run(flip_every: int) -> tuple[int, int, float]:
    """Return ``(bad pieces, bytes fetched again, seconds)`` of one download."""
    content = Content(SIZE, seed=7)
    characters = [Character(rate_bytes_s=RATE, flip_every=flip_every)] + [Character(rate_bytes_s=RATE)] * 3
    with tempfile.TemporaryDirectory() as folder, mirrors(characters, content) as box:
        shoal = Shoal(Path(folder))
        (shoal.folder / "x.meta4").write_text(document(content, box.urls))
        done = shoal.get("x.meta4")
        ended = done.ended
        assert done.code == 0, done.stderr
        assert content.matches(shoal.folder / "file.bin")
        assert ended["identity"]["kind"] == "pieces"
        shoal.clean_up()
    return ended["identity"]["checks_disagreed"], ended["bytes_refetched"], ended["seconds"]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    honest = [run(0) for _ in range(count)]
    odd = [run(EVERY) for _ in range(count)]
    usual = statistics.median(row[1] for row in honest)
    for bad, refetched, seconds in odd:
        pieces = (refetched - usual) / PIECE
        print(f"bad pieces {bad}, fetched again {pieces:5.1f} pieces beyond the usual, {seconds:.2f} s")
    share = sum(row[1] - usual for row in odd) / (PIECE * max(1, sum(row[0] for row in odd)))
    times = statistics.median(row[2] for row in odd) / statistics.median(row[2] for row in honest)
    print(
        f"fetched again {share:.2f} x the bad pieces (at most 3), time x {times:.2f}, usual {usual / PIECE:.1f} pieces"
    )


if __name__ == "__main__":
    main()
