"""Scaling of a fleet on paper: what one node's decisions and the bus's writes allow, and which limit comes first.

``python -m tests.bench.fleet_scale --nodes 1000 --jobs 200000``. The core is driven as the shell does it, by rows that
were encoded and decoded; the bus's figures are those measured of NATS JetStream with ``sync_interval: always``.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Final

from actors.core.fleet import vocabulary as v
from actors.core.fleet.node import RENEW_S, FleetNode
from protocol.model.fleet.names import FLEET, JOBS, NODES, PART_BYTES_MIN, SETTINGS, job_id
from protocol.model.fleet.rows import QUEUED, FleetJobRow, FleetSettings, NodeRow, decode_any, encode_row
from protocol.model.job_spec import JobSpec

WRITES_S: Final = 400.0
"""Synced writes a second that one server took; 369-608 were seen."""
FRAMES_S: Final = 55_000.0
"""Messages a second that one server delivered."""
FILES_S: Final = 33.0
FILE_BYTES: Final = 1.5e9
"""FTS in 2022/23: 33 files a second of 1.5 GB in the mean, 4.3 PB a day."""
ROWS_PER_JOB: Final = 5
"""Ordered, placed, active, sealing, sealed."""
MIB: Final = 1 << 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet_scale")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=200_000)
    asked = parser.parse_args()
    out = sys.stdout.write
    bench = Bench(asked.nodes)
    before = _rss_mib()
    listing_s = _timed(lambda: bench.list_jobs(asked.jobs))
    out(f"{asked.nodes} nodes, {asked.jobs} queued jobs\n")
    out(f"a new leader reads them all in {listing_s:.1f} s of CPU, {1e6 * listing_s / asked.jobs:.0f} us a job\n")
    out(f"memory of a node: {1024 * (_rss_mib() - before) / asked.jobs:.2f} KiB a queued job\n")
    begun_s = _timed(bench.begin)
    placed = bench.placed
    out(f"placed {placed} jobs in {begun_s:.2f} s: {placed / begun_s:.0f} a second, over {bench.used()} nodes, ")
    out(f"{bench.least} to {bench.most} a node\n")
    beat_us = 1e6 * _timed(bench.beats) / asked.nodes
    tick_ms = 1e3 * _timed(bench.tick)
    ended_us = 1e6 * _timed(bench.end_all) / max(1, placed)
    out(f"a heartbeat costs the leader {beat_us:.0f} us, a tick {tick_ms:.1f} ms, an end and the next placement ")
    out(f"{ended_us:.0f} us\n")
    cpu = asked.nodes / RENEW_S * beat_us / 1e6 + 2 * tick_ms / 1e3 + FILES_S * ended_us / 1e6
    out(f"the leader's CPU at {FILES_S:.0f} files/s: {100 * cpu:.0f} % of a core\n\n")
    _bus(asked.nodes, out)
    return 0


def _bus(nodes: int, out: Callable[[str], object]) -> None:
    """Say which of the bus's limits comes first."""
    beats = nodes / RENEW_S
    out("the bus, by part size: writes a second at 4.3 PB a day, and what the writes that are left carry\n")
    for part_bytes in (PART_BYTES_MIN, 64 * MIB, 512 * MIB):
        parts = max(1.0, FILE_BYTES / part_bytes)
        writes = beats + FILES_S * (ROWS_PER_JOB + parts * (1 + 1 / 16))
        left = max(0.0, WRITES_S - beats)
        files_s = left / (ROWS_PER_JOB + parts * (1 + 1 / 16))
        out(f"  {part_bytes // MIB:4} MiB: {writes:6.0f}/s of {WRITES_S:.0f}; ")
        out(f"{files_s * FILE_BYTES * 86400 / 1e15:.2f} PB a day are left beside {beats:.0f} heartbeats/s\n")
    out(f"heartbeats alone fill the writes at {WRITES_S * RENEW_S:.0f} nodes\n")
    out(f"each write is delivered to every node: {FRAMES_S:.0f}/s are full at {FRAMES_S / WRITES_S:.0f} nodes ")
    out(f"under full writes, by heartbeats alone at {(FRAMES_S * RENEW_S) ** 0.5:.0f}\n")


class Bench:
    """One node that leads, with a bus that takes every write."""

    def __init__(self, nodes: int) -> None:
        self.node = FleetNode()
        self.now = 100.0
        self.revision = 0
        self.counts: dict[str, int] = {}
        self.rows: dict[str, FleetJobRow] = {}
        self._nodes = [NodeRow(name=f"n{at}", instance="x", could_bytes_s=1e8) for at in range(nodes)]
        self.give(v.Started("n0", "x", 0.0, "s3://b/", fleet="f"))
        self.give(v.BusBack())

    def list_jobs(self, count: int) -> None:
        spec = JobSpec(folder="", name="f")
        for at in range(count):
            id = job_id(f"k{at}")
            row = FleetJobRow(
                id=id, key=f"k{at}", spec=spec, sources=(f"http://h{at % 99}/f{at}",), destination=f"f{at}"
            )
            self.change(JOBS, id, decode_any(JOBS, id, encode_row(row.but(created=at))))

    def begin(self) -> None:
        self.change(SETTINGS, FLEET, FleetSettings(fleet="f", destination="s3://b/"))
        self.beats()
        self.give(v.KvListed())
        for _ in range(len(self._nodes) // 10 + 200):
            before = self.placed
            self.tick()
            if before and self.placed == before:
                return

    def beats(self) -> None:
        for row in self._nodes[1:]:
            self.change(NODES, row.name, row)

    def tick(self) -> None:
        self.now += 0.5
        self.give(v.Tick(0.0))

    def end_all(self) -> None:
        """Every job that runs ends, and its slot is given away again."""
        for row in [each for each in self.rows.values() if each.nodes and "n0" not in each.nodes]:
            self.change(JOBS, row.id, row.but(state="sealed"))

    def change(self, bucket: str, key: str, row: object) -> None:
        self.revision += 1
        self.give(v.KvChanged(bucket, key, row, self.revision))  # type: ignore[arg-type]

    def give(self, event: v.Event) -> None:
        waiting: list[v.Event] = [event]
        while waiting:
            for command in self.node.handle(waiting.pop(), self.now):
                if isinstance(command, v.KvCreate | v.KvUpdate):
                    self.revision += 1
                    if isinstance(command.row, FleetJobRow) and command.row.state != QUEUED:
                        self.rows[command.row.id] = command.row
                        for node in command.row.nodes:
                            self.counts[node] = self.counts.get(node, 0) + 1
                    waiting.append(v.KvWritten(command.request, self.revision))

    @property
    def placed(self) -> int:
        return len(self.rows)

    def used(self) -> int:
        return len(self.counts)

    @property
    def least(self) -> int:
        return min(self.counts.values(), default=0)

    @property
    def most(self) -> int:
        return max(self.counts.values(), default=0)


def _timed(do: Callable[[], object]) -> float:
    before = time.process_time()
    do()
    return time.process_time() - before


def _rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
