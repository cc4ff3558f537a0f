"""Claim: little time is wasted on mirrors of very different speeds, honest or faulty.

    python -m tests.bench.wasted_time [honest|faulty ...] [--runs N] [--compare] [--shuffle SEED]

Eight mirrors shaped to 20000, 10000, 8000, 5000, 3000, 1000, 300 and 50 KB/s (KB = 1000 bytes). The file is as large
as what they can give in the ideal time, 20 s, so efficiency = ideal / `seconds` of the program's report.

What a mirror can give in T seconds (`given_bytes`), with rate r:
    honest, hanging up after every N bytes, or 503 to some requests   r T
    stalling or dying after N bytes                                   min(N, r T)
    without ranges, or refusing offsets > 0                           r T, but only from byte 0 on: two such mirrors
                                                                      send the same bytes, so only the fastest counts
Set-up, latency of errors and reconnecting count as waste, not as ideal.

Which mirror has which fault, unless shuffled: half of the nominal rate is faulty, the two that go away for ever are in
the middle (they would have given a quarter), the two that can only begin at byte 0 are small, honest are the fastest
and the slowest. `--shuffle SEED` gives the faults to other mirrors and sizes the file again.

`--compare`: aria2c counts connections by host name, without the port, so with all mirrors on one address its `-x1` is
ONE connection and its figure says little. Both it and axel run that way and with an address for each mirror.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import measuring
from tests.http_mirrors.box import Box, Character, Content, mirrors

RATES_BYTES_S = [kilobytes * 1000 for kilobytes in (20_000, 10_000, 8_000, 5_000, 3_000, 1_000, 300, 50)]
FAULTS = [
    ("honest", Character()),
    ("drops every 3 MB", Character(drop_every_bytes=3_000_000)),
    ("dies after 40 MB", Character(die_after_bytes=40_000_000)),
    ("stalls after 20 MB", Character(stall_after_bytes=20_000_000)),
    ("503 to half", Character(busy_share=0.5)),
    ("no ranges", Character(ranges=False)),
    ("refuses offsets > 0", Character(refuse_offsets=True)),
    ("honest", Character()),
]
HONEST = [("honest", Character())] * len(RATES_BYTES_S)
MUST_REACH = {"honest": 0.97, "faulty": 0.90}
LIMIT_IDEALS = 5


@dataclass(frozen=True, slots=True)
class Shaped:
    """A mirror of the bench: its fault in words and its whole character."""

    fault: str
    character: Character


def shaped(faults: Sequence[tuple[str, Character]]) -> list[Shaped]:
    """One mirror for each rate, fastest first."""
    pairs = zip(RATES_BYTES_S, faults, strict=True)
    return [Shaped(words, replace(character, rate_bytes_s=float(rate))) for rate, (words, character) in pairs]


def given_bytes(characters: Sequence[Character], seconds: float) -> int:
    """What these mirrors can give together in this time, as the module's docstring says."""
    anywhere = sum(_own_bytes(c, seconds) for c in characters if c.ranges and not c.refuse_offsets)
    from_start = [_own_bytes(c, seconds) for c in characters if not c.ranges or c.refuse_offsets]
    return int(anywhere + max(from_start, default=0.0))


def _own_bytes(character: Character, seconds: float) -> float:
    assert character.rate_bytes_s is not None
    limits = [limit for limit in (character.stall_after_bytes, character.die_after_bytes) if limit is not None]
    return min([character.rate_bytes_s * seconds, *limits])


def measure(case: str, crowd: list[Shaped], folder: Path, *, runs: int, ideal_s: float, compare: bool) -> bool:
    """Fetch `runs` times from fresh mirrors; whether the median efficiency reaches the claim."""
    characters = [mirror.character for mirror in crowd]
    content = Content(given_bytes(characters, ideal_s), seed=len(case))
    print(f"\n{case}: {content.size / 1e6:.1f} MB, ideal {ideal_s:.1f} s")
    efficiencies = []
    for number in range(runs):
        with mirrors(characters, content) as box:
            efficiencies.append(_ours(box, content, folder, ideal_s))
            if number == runs - 1:
                _print_mirrors(crowd, box, ideal_s)
    if compare:
        _print_others(characters, content, folder, ideal_s)
    print("efficiencies:", " ".join(f"{value:.3f}" for value in efficiencies))
    claim = f"wasted time, {case} mirrors, ideal / seconds"
    return measuring.verdict(claim, statistics.median(efficiencies), at_least=MUST_REACH[case])


def _ours(box: Box, content: Content, folder: Path, ideal_s: float) -> float:
    """Efficiency of one run of our program; 0 when it brought no file or a wrong one."""
    path = folder / "ours.bin"
    run = measuring.measured(measuring.get_command(box.urls, path), limit_s=LIMIT_IDEALS * ideal_s)
    shown = run.job_ended()
    right = content.matches(path)
    measuring.clear(path)
    if run.exit_code != 0 or shown is None or not right:
        print(f"no right file: {measuring.trouble(run)}; content {'right' if right else 'WRONG or missing'}")
        return 0.0
    print(
        f"seconds {shown['seconds']:.3f}, whole process {run.wall_s:.3f}, CPU {run.cpu_s:.2f} s, content right, "
        f"received {shown['bytes_received'] / 1e6:.1f} MB, fetched again {shown['bytes_refetched'] / 1e6:.1f} MB"
    )
    return ideal_s / float(shown["seconds"])


def _print_mirrors(crowd: list[Shaped], box: Box, ideal_s: float) -> None:
    rows: list[list[object]] = [["mirror KB/s", "could give MB", "sent MB", "requests", "refused", "connections"]]
    for mirror, count in zip(crowd, box.counts().values(), strict=True):
        name = f"{(mirror.character.rate_bytes_s or 0) / 1000:.0f} {mirror.fault}"
        could = f"{_own_bytes(mirror.character, ideal_s) / 1e6:.1f}"
        sent = f"{count.bytes_sent / 1e6:.1f}"
        rows.append([name, could, sent, count.requests, count.refused, count.connections])
    measuring.print_table(rows)


def _print_others(characters: list[Character], content: Content, folder: Path, ideal_s: float) -> None:
    """What aria2c and axel make of the same mirrors, fresh for each run, on one address and on one each."""
    for tool, command in (("aria2c", measuring.aria2c_command), ("axel", measuring.axel_command)):
        if measuring.found(tool) is None:
            continue
        for own_hosts in (False, True):
            name = f"{tool}, {'an address for each mirror' if own_hosts else 'all mirrors on one address'}"
            with mirrors(characters, content, own_hosts=own_hosts) as box:
                run = measuring.measured(command(box.urls, folder / "theirs"), limit_s=LIMIT_IDEALS * ideal_s)
            print(f"{name}: {_outcome(run, content, folder / 'theirs', ideal_s)}")


def _outcome(run: measuring.Measured, content: Content, path: Path, ideal_s: float) -> str:
    end = f"not done at the limit of {LIMIT_IDEALS} x ideal" if run.timed_out else f"exit code {run.exit_code}"
    state = "content right" if content.matches(path) else "content WRONG or missing"
    measuring.clear(path)
    return f"{run.wall_s:.1f} s = ideal / {ideal_s / run.wall_s:.2f}, {end}, {state}"


def main() -> int:
    """Exit code 0 when every case asked for reaches its claim."""
    options = measuring.parser("little time is wasted on uneven mirrors", runs=1)
    options.add_argument("cases", nargs="*", metavar="honest|faulty", help="default: both")
    options.add_argument("--compare", action="store_true", help="let aria2c and axel try the same")
    options.add_argument("--shuffle", type=int, metavar="SEED", help="give the faults to other mirrors")
    options.add_argument("--ideal", type=float, default=20.0, help="seconds the file is sized for (default 20)")
    asked = options.parse_args()
    unknown = set(asked.cases) - set(MUST_REACH)
    if unknown:
        options.error(f"no such case: {', '.join(sorted(unknown))}")
    faults = list(FAULTS)
    if asked.shuffle is not None:
        random.Random(asked.shuffle).shuffle(faults)
    crowds = {"honest": shaped(HONEST), "faulty": shaped(faults)}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
        reached = [
            measure(case, crowds[case], Path(folder), runs=asked.runs, ideal_s=asked.ideal, compare=asked.compare)
            for case in asked.cases or list(MUST_REACH)
        ]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
