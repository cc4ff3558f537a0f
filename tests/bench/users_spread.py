"""Claim: eight users with rates spread 1:100 and set-up times of 0.3 to 3 s give most of the sum of their rates, and
are hardly disturbed.

    python -m tests.bench.users_spread [--runs N] [--kind unknown|known|faulty] [--ideal 60]

Efficiency = ideal / `seconds` of the program's report, ideal = size / sum of the rates (of those that can give).

* unknown: nothing is known before; >= 0.90 at <= 2.2 stops a user, at most 3.
* known: the same users, whose rates an earlier, shorter job has shown; >= 0.93 at <= 1.5.
* faulty: one silent, one that leaves, one that refuses offsets, one of 2 KB/s; >= 0.85 of what the living can give.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import measuring, users
from tests.soulseek_network.network import Character, Content, network

USERS = 8
SPREAD = 100.0
FASTEST_BYTES_S = 4_000_000.0
LIMIT_IDEALS = 5
BOUNDS = {"unknown": (0.90, 2.2), "known": (0.93, 1.5), "faulty": (0.85, None)}


def honest() -> dict[str, Character]:
    """u0 is the fastest; who is fast and who answers soon have nothing to do with each other."""
    made = {}
    for number in range(USERS):
        rate = FASTEST_BYTES_S * SPREAD ** (-number / (USERS - 1))
        set_up_s = 0.3 + 2.7 * (number * 3 % USERS) / (USERS - 1)
        made[f"u{number}"] = Character(rate_bytes_s=rate, set_up_s=set_up_s, hop_s=0.08, tick_s=0.1)
    return made


def faulty(ideal_s: float) -> tuple[dict[str, Character], float]:
    """The users, and the bytes the living ones and the leaving one can give in the ideal time."""
    made = honest()
    rates = {name: character.rate_bytes_s or 0.0 for name, character in made.items()}
    leaves_after = int(rates["u2"] * ideal_s / 6)
    made["u1"] = replace(made["u1"], silent="bytes")
    made["u2"] = replace(made["u2"], dies_after_bytes=leaves_after)
    made["u3"] = replace(made["u3"], refuse_offsets=True)
    made["u4"] = replace(made["u4"], rate_bytes_s=2_000.0)
    living = sum(rates[f"u{number}"] for number in (0, 3, 5, 6, 7))
    return made, living * ideal_s + leaves_after


def measure(kind: str, ideal_s: float, folder: Path) -> tuple[float, list[int]]:
    """Efficiency (0: no right file) and stops of each user."""
    made, given = faulty(ideal_s) if kind == "faulty" else (honest(), 0.0)
    given = given or sum(character.rate_bytes_s or 0.0 for character in made.values()) * ideal_s
    content = Content(int(given), seed=60)
    path = folder / "ours.bin"
    limit_s = LIMIT_IDEALS * ideal_s
    with tempfile.TemporaryDirectory(dir=folder) as state, network(made, content) as box:
        urls = users.users_words(box, list(made))
        if kind == "known":
            users.play(box, path, *urls, state=Path(state), limit_s=limit_s)
            measuring.clear(path)
        run = users.play(box, path, *urls, state=Path(state), limit_s=limit_s)
    right = content.matches(path)
    measuring.clear(path)
    if run.exit_code != 0 or not right:
        print(f"no right file: {run.trouble()}; content {'right' if right else 'WRONG or missing'}")
        return 0.0, [0]
    seconds = float(run.ended["seconds"])
    fetched = int(run.ended["bytes_refetched"]) / content.size
    print(f"{kind}: seconds {seconds:.2f}, fetched again {fetched:.2%}, stops {run.stops}, CPU {run.cpu_s:.2f} s")
    return ideal_s / seconds, run.stops


def main() -> int:
    """Exit code 0 when every kind that was asked for reaches its bounds."""
    options = measuring.parser("eight users, rates 1:100", runs=1)
    options.add_argument("--kind", action="append", choices=list(BOUNDS))
    options.add_argument("--ideal", type=float, default=60.0, help="seconds the file is sized for (default 60)")
    asked = options.parse_args()
    good = True
    for kind in asked.kind or list(BOUNDS):
        with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
            runs = [measure(kind, asked.ideal, Path(folder)) for _ in range(asked.runs)]
        least, stops_most = BOUNDS[kind]
        good &= measuring.verdict(f"{kind}, ideal / seconds", statistics.median(run[0] for run in runs), at_least=least)
        if stops_most is not None:
            mean = statistics.median(statistics.mean(run[1]) for run in runs)
            good &= measuring.verdict(f"{kind}, mean stops", mean, at_most=stops_most)
            good &= measuring.verdict(f"{kind}, most stops", max(max(run[1]) for run in runs), at_most=3)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
