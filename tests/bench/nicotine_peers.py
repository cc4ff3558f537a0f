"""Claims about real, unchanged Nicotine+ peers, started by this script (pip install --no-deps nicotine-plus).

    python -m tests.bench.nicotine_peers [--runs N] [--kind three|alone|modes|cells]

* three: three peers limited to 8192 KiB/s each, 256 MiB: >= 0.90 of their sum after the first byte, content right,
  <= 2 stops a peer.
* alone: one unlimited peer, 512 MiB: >= 0.95 of what a bare recv_into loop gets from it in the same run, in pairs, the
  order changing; CPU of ours <= 0.5 s: what the transfer costs, which is the whole run's beyond that of a run which
  fetches one chunk from the same peer (starting, logging in and stopping). The whole is shown beside it.
* modes: `--mode queue` beside `--mode swarm` on the same three peers: rate, transfers, stops, and the failed uploads
  that the peers' own logs show.
* cells: four peers at 8192, 2048, 800 and 164 KiB/s, files of 3, 25, 48 and 250 MiB: the fastest alone, all of them
  with   nothing known, and again with rates known. Time <= 1.05 x alone + 3 s; failed uploads <= 1, known 0, where
  the ideal (all at their rates) saves less than 15 s and a quarter.
"""

from __future__ import annotations

import resource
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import measuring, users
from tests.real_peers.nicotine import Nicotine, installed, nicotine
from tests.real_peers.raw_downloader import RawDownloader
from tests.soulseek_network.network import Content, Network, network

LIMIT_KIB_S = 8192
FILE = "tide.flac"
SMALL = "drop.flac"
MIB = 1 << 20
RUN_S_MAX = 400.0
RATES_KIB_S = (8192, 2048, 800, 164)
SIZES_MIB = (3, 25, 48, 250)


@contextmanager
def peers(
    count: int,
    content: Content,
    folder: Path,
    upload_kib_s: int | Sequence[int] | None,
    *,
    beside: Content | None = None,
) -> Iterator[tuple[Network, list[Nicotine]]]:
    """A box whose only uploaders are a given number of Nicotine+ that share this content."""
    rates = upload_kib_s if isinstance(upload_kib_s, Sequence) else [upload_kib_s] * count
    files = {FILE: content} if beside is None else {FILE: content, SMALL: beside}
    with named_peers(folder, files, {f"n{number}": rate for number, rate in enumerate(rates)}) as (box, made):
        yield box, list(made.values())


@contextmanager
def named_peers(
    folder: Path,
    files: Mapping[str, Content],
    rates_kib_s: Mapping[str, int | None],
    *,
    passwords: Mapping[str, str] | None = None,
) -> Iterator[tuple[Network, dict[str, Nicotine]]]:
    """A box whose only uploaders are Nicotine+ of these names and rates that share these files."""
    shared = folder / "shared"
    shared.mkdir()
    for name, content in files.items():
        with (shared / name).open("wb") as file:
            content.write_to(file)
    with ExitStack() as stack:
        box = stack.enter_context(network({}, passwords=dict(passwords or {})))
        made = {
            name: stack.enter_context(nicotine(box, name, shared, upload_kib_s=rate, wait=False))
            for name, rate in rates_kib_s.items()
        }
        for peer in made.values():
            peer.wait_until_ready()
        yield box, made


def fetched(
    box: Network,
    made: list[Nicotine],
    content: Content,
    folder: Path,
    *words: str,
    name: str,
    file: str = FILE,
    state: Path | None = None,
) -> tuple[users.Played, bool]:
    """One run of ours from these peers, and whether the content is right. `state`: where rates are remembered."""
    path = folder / "ours.bin"
    measuring.settle(content.size)
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        urls = [peer.url(file) for peer in made]
        run = users.play(box, path, *urls, *words, state=state or Path(fresh), limit_s=RUN_S_MAX, name=name)
    right = content.matches(path)
    measuring.clear(path)
    if run.exit_code != 0 or not right:
        print(f"no right file: {run.trouble()}; content {'right' if right else 'WRONG or missing'}")
    return run, right and run.exit_code == 0


def three(runs: int, folder: Path) -> bool:
    content = Content(256 * MIB, seed=3)
    shares, most = [], 0
    with peers(3, content, folder, LIMIT_KIB_S) as (box, made):
        for number in range(runs):
            run, right = fetched(box, made, content, folder, "--patience", "0", name=f"three{number}")
            share = run.flow_bytes_s / (3 * LIMIT_KIB_S * 1024) if right else 0.0
            print(f"three: {share:.3f} of the sum, stops {run.stops}, CPU {run.cpu_s:.2f} s")
            shares.append(share)
            most = max([most, *run.stops])
    good = measuring.verdict("three limited peers, share of their sum", statistics.median(shares), at_least=0.90)
    return measuring.verdict("three limited peers, most stops", most, at_most=2) and good


@dataclass(frozen=True, slots=True)
class Bare:
    """A loop that does nothing but recv_into: ``(second, bytes so far)`` after each call, and its CPU."""

    marks: list[tuple[float, int]]
    cpu_s: float

    def bytes_s(self, begin: int) -> float:
        """Its rate from byte `begin` on: an uploader starts slowly, so both are looked at over the same bytes."""
        begin_s, first = next(mark for mark in self.marks if mark[1] >= begin)
        end_s, last = self.marks[-1]
        return (last - first) / max(end_s - begin_s, 1e-6)


def bare(box: Network, peer: Nicotine, content: Content, name: str) -> Bare:
    """Fetch the whole file with it."""
    buffer = memoryview(bytearray(MIB))
    with RawDownloader(box.server_port, name) as raw:
        sock, _ = raw.negotiate(peer.name, peer.remote_path(FILE), 30.0)
        cpu_s = _own_cpu_s()
        sock.sendall(struct.pack("<Q", 0))
        got = sock.recv_into(buffer)
        marks = [(time.perf_counter(), got)]
        while got < content.size:
            count = sock.recv_into(buffer)
            if count == 0:
                raise RuntimeError("the peer ended early")
            got += count
            marks.append((time.perf_counter(), got))
        sock.close()
        return Bare(marks, _own_cpu_s() - cpu_s)


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def alone(runs: int, folder: Path) -> bool:
    content = Content(512 * MIB, seed=1)
    chunk = Content(128 << 10, seed=11)
    ratios, cpus = [], []
    with peers(1, content, folder, None, beside=chunk) as (box, made):
        for number in range(runs):
            measuring.settle(content.size)
            if number % 2 == 0:
                loop = bare(box, made[0], content, f"bare{number}")
            run, right = fetched(box, made, content, folder, name=f"ours{number}")
            if number % 2 == 1:
                loop = bare(box, made[0], content, f"bare{number}")
            loop_bytes_s = loop.bytes_s(run.flowing[1])
            ratio = run.flow_bytes_s / loop_bytes_s if right else 0.0
            empty, _ = fetched(box, made, chunk, folder, name=f"empty{number}", file=SMALL)
            print(
                f"alone: ours {run.flow_bytes_s / 1e6:.0f} MB/s, {run.cpu_s:.2f} CPU s "
                f"({empty.cpu_s:.2f} for one chunk); bare loop {loop_bytes_s / 1e6:.0f} MB/s, "
                f"{loop.cpu_s:.2f} CPU s; ratio {ratio:.3f}; stops {run.stops}"
            )
            ratios.append(ratio)
            cpus.append(run.cpu_s - empty.cpu_s)
    good = measuring.verdict("one unlimited peer, ours / bare loop", statistics.median(ratios), at_least=0.95)
    return measuring.verdict("one unlimited peer, CPU s of the transfer", statistics.median(cpus), at_most=0.5) and good


def modes(runs: int, folder: Path) -> bool:
    content = Content(64 * MIB, seed=2)
    rows: list[list[object]] = [["mode", "MB/s", "transfers", "stops", "failed in their logs"]]
    good = True
    with peers(3, content, folder, LIMIT_KIB_S) as (box, made):
        for number in range(runs):
            for mode in ("queue", "swarm"):
                before = [peer.uploads() for peer in made]
                run, right = fetched(box, made, content, folder, "--mode", mode, name=f"{mode}{number}")
                after = [peer.uploads() for peer in made]
                good &= right
                pairs = list(zip(before, after, strict=True))
                started = sum(late.started - early.started for early, late in pairs)
                failed = sum(late.aborted - early.aborted for early, late in pairs)
                seconds = float(run.ended.get("seconds", 0.0)) or 1.0
                rows.append([mode, content.size / seconds / 1e6, started, sum(run.stops), failed])
    measuring.print_table(rows)
    return good


def cells(runs: int, folder: Path) -> bool:
    rows: list[list[object]] = [["MiB", "rates", "s", "of alone", "stops", "failed uploads"]]
    good = True
    for size in SIZES_MIB:
        content = Content(size * MIB, seed=size)
        ideal_s, best_s = size * 1024 / sum(RATES_KIB_S), size * 1024 / max(RATES_KIB_S)
        saves = best_s - ideal_s >= 15 and ideal_s <= 0.75 * best_s
        for number in range(runs):
            place = folder / f"{size}-{number}"
            place.mkdir()
            with peers(4, content, place, RATES_KIB_S) as (box, made):
                alone_s, seen = 0.0, 0
                for kind, some in (("alone", made[:1]), ("unknown", made), ("known", made)):
                    state = place / ("alone" if kind == "alone" else "all")
                    state.mkdir(exist_ok=True)
                    run, right = fetched(box, some, content, place, name=f"c{size}{number}{kind}", state=state)
                    seconds = float(run.ended.get("seconds", 0.0))
                    alone_s = alone_s or seconds
                    failed = sum(peer.uploads().aborted for peer in made) - seen
                    seen += failed
                    rows.append([size, kind, seconds, seconds / max(alone_s, 0.1), sum(run.stops), failed])
                    good &= right and seconds <= 1.05 * alone_s + 3 and (saves or failed <= (kind == "unknown"))
    measuring.print_table(rows)
    return good


KINDS = {"cells": cells, "three": three, "alone": alone, "modes": modes}


def main() -> int:
    """Exit code 0 when every kind that was asked for reaches its bounds."""
    options = measuring.parser("real Nicotine+ peers", runs=3)
    options.add_argument("--kind", action="append", choices=list(KINDS))
    asked = options.parse_args()
    if not installed():
        print("missing: Nicotine+ (pip install --no-deps nicotine-plus)")
        return 1
    good = True
    for kind in asked.kind or list(KINDS):
        with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
            good &= KINDS[kind](asked.runs if kind != "modes" else 1, Path(folder))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
