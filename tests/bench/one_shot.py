"""What a one-shot Soulseek command costs beside its transfer: ``swarm TERM`` of a file that comes in no time.

    python -m tests.bench.one_shot [--runs N]

Three unlimited users on loopback have a file of 1 MiB of a size that is not said. Seconds to the login, from there to
the first byte, of the transfer, and from the last word to the end of the program; medians.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.measuring import parser, print_table, verdict
from tests.e2e.program import Shoal
from tests.soulseek_network.network import Character, Content, Network, network

PARTS = ("login", "search and set-up", "transfer", "leaving", "whole")


def run(box: Network, folder: Path) -> list[float]:
    """Seconds of each of `PARTS`."""
    shoal = Shoal(folder)
    account = {"USERNAME": "me", "PASSWORD": "any", "SERVER": box.server_host, "PORT": str(box.server_port)}
    env = {f"SHOAL_SOULSEEK_{name}": word for name, word in account.items()}
    begun_s = time.monotonic()
    try:
        words = ("swarm", box.term, "-o", "file.flac", "--json", "--verbose")
        running = shoal.start(
            *words, env={**env, "SHOAL_SOULSEEK_BIND": "127.0.0.1", "SHOAL_STATE": str(folder / "state")}
        )
        times_s = []
        for wanted in (
            lambda event: event["event"] == "session" and event["state"] == "online",
            lambda event: event["event"] == "chunk",
            lambda event: event["event"] == "job_ended",
        ):
            last = running.until(wanted)
            times_s.append(time.monotonic() - begun_s)
        running.process.wait()
        times_s.append(time.monotonic() - begun_s)
        running.finish()
        assert last["state"] == "sealed", last
    finally:
        shoal.clean_up()
    return [late - early for early, late in zip([0.0, *times_s], times_s, strict=False)] + times_s[-1:]


def main() -> int:
    asked = parser(__doc__ or "", runs=5).parse_args()
    content = Content(1 << 20, seed=5)
    rows = []
    with network({name: Character() for name in ("ann", "bob", "eve")}, content) as box:
        for _ in range(asked.runs):
            with tempfile.TemporaryDirectory(prefix="one-shot-") as folder:
                rows.append(run(box, Path(folder)))
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print_table([[*PARTS], *rows, medians])
    good = verdict("a one-shot command beside its transfer, s", medians[-1] - medians[2], at_most=4.0)
    return 0 if verdict("leaving, s", medians[3], at_most=0.5) and good else 1


if __name__ == "__main__":
    sys.exit(main())
