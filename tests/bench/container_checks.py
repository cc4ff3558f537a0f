"""Container checks at the places where two sources' bytes meet, on files of the real encoders.

``python -m tests.bench.container_checks``: a line for each kind. Honest: boundaries of one file, how many are proven
and how many are called broken (none may be). Spliced: the right side is of another file of the same size class, or of
the same file shifted, cut off or damaged; how many are accepted as proven (none may be) and how many named broken. Then
the milliseconds of a boundary and the speed of the check of the whole file. Kinds whose encoder is missing are left
out.
"""

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from storage.containers import formats
from storage.containers.reading import Outcome
from tests.storage.containers import writers

RAW = ["--force-raw-format", "--endian=little", "--sign=signed", "--channels=2", "--bps=16", "--sample-rate=44100"]
KINDS = {
    "flac": ["flac", "-s", "-8", *RAW, "-o", "OUT", "IN"],
    "flac 16384": ["flac", "-s", "--lax", "-b", "16384", *RAW, "-o", "OUT", "IN"],
    "ogg": ["oggenc", "-Q", "-r", "-q", "9", "-o", "OUT", "IN"],
    "mp3": ["lame", "--quiet", "-r", "-s", "44.1", "-b", "320", "IN", "OUT"],
    "cbz": ["zip", "-q", "OUT", "IN.0", "IN.1", "IN.2", "IN.3"],
    "gz": ["sh", "-c", "gzip -c IN > OUT"],
    "xz": ["sh", "-c", "xz -0 -T2 --block-size=1MiB -c IN > OUT"],
    "zst": ["zstd", "-q", "-o", "OUT", "IN"],
}
SUFFIXES = {"flac 16384": "flac"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.container_checks")
    parser.add_argument("--seconds", type=float, default=30.0, help="of audio")
    parser.add_argument("--chunk-size", type=int, default=128 << 10)
    parser.add_argument("--splices", type=int, default=75)
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    asked = parser.parse_args()
    sys.stdout.write(
        f"{'kind':12}{'MB':>6}{'honest':>8}{'proven':>8}{'broken':>8}{'spliced':>9}{'accepted':>10}{'broken':>8}"
        f"{'ms':>8}{'ms most':>9}{'MB/s':>8}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        for kind in asked.kind or KINDS:
            command = KINDS[kind]
            if shutil.which(command[0]) is not None:
                made = [encoded(Path(folder), kind, command, asked.seconds, seed) for seed in (1, 2)]
                sys.stdout.write(line(kind, made[0], made[1], asked.chunk_size, asked.splices))
                sys.stdout.flush()
    return 0


def encoded(folder: Path, kind: str, command: list[str], seconds: float, seed: int) -> bytes:
    source, out = folder / f"{kind}-{seed}.raw", folder / f"{kind}-{seed}.{SUFFIXES.get(kind, kind)}"
    data = writers.raw(writers.audio(seconds, seed))
    source.write_bytes(data)
    for part in range(4):
        size = len(data) // 4
        Path(f"{source}.{part}").write_bytes(data[part * size : (part + 1) * size])
    words = [each.replace("IN", f"'{source}'" if "sh" in command[0] else str(source)) for each in command]
    words = [each.replace("OUT", f"'{out}'" if "sh" in command[0] else str(out)) for each in words]
    subprocess.run(words, check=True, capture_output=True)
    return out.read_bytes()


def outcome(data: bytes, at: int, name: str) -> Outcome:
    return formats.check_boundaries(writers.reader(data), len(data), [at], name)[1][at].outcome


def line(kind: str, data: bytes, other: bytes, chunk: int, splices: int) -> str:
    name, chance = f"x.{SUFFIXES.get(kind, kind)}", random.Random(kind)
    honest, times = [], []
    for at in range(chunk, len(data), chunk):
        begun_s = time.perf_counter()
        honest.append(outcome(data, at, name))
        times.append(1000 * (time.perf_counter() - begun_s))
    mixed = []
    for number in range(splices):
        at = chance.randrange(1, max(2, (min(len(data), len(other)) - chunk) // chunk)) * chunk
        right = (
            other[at:],
            data[at + chance.choice((1, -1, 7, 4000)) :],
            chance.randbytes(chunk) + data[at + chunk :],
        )[number % 3]
        mixed.append(outcome((data[:at] + right)[: len(data)], at, name))
    begun_s = time.perf_counter()
    formats.check_whole(writers.reader(data), len(data), name)
    speed = len(data) / 1e6 / (time.perf_counter() - begun_s)
    return (
        f"{kind:12}{len(data) / 1e6:6.1f}{len(honest):8}{honest.count(Outcome.PROVEN):8}"
        f"{honest.count(Outcome.BROKEN):8}{len(mixed):9}{mixed.count(Outcome.PROVEN):10}"
        f"{mixed.count(Outcome.BROKEN):8}{statistics.median(times):8.1f}{max(times):9.1f}{speed:8.0f}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
