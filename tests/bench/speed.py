"""Claim: the table of speeds, row by row in one run: TLS, plain, a small file, one mirror, many jobs, many sources.

    python -m tests.bench.speed [--runs TURNS] [--rows tls,plain,small,one,jobs,sources] [--size MIB]

Programs run in turn, in changing order, and ratios are taken within a turn. CPU is that of all processes of the tree,
orphans and the forkserver's children included (`tests.bench.launcher`). Where other programs share the machine CPU
and ratios count, walls do not; ``chrt -r 1 python -m tests.bench.speed`` stands for a quiet one, servers included.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import line_speed, measuring
from tests.bench.line_speed import WrongResultError
from tests.bench.measuring import Measured
from tests.bench.nginx import own_hosts
from tests.http_mirrors.box import Content

ROWS = ("tls", "plain", "small", "one", "jobs", "sources")
SMALL_BYTES = 1_000_000
ONE_BYTES = 64 << 20
Figure = Callable[[Measured], float]


def curl_command(urls: Sequence[str], path: Path) -> list[str | Path]:
    """curl from the first mirror."""
    return ["curl", "-sS", "-o", path, urls[0]]


def ours_from_one(urls: Sequence[str], path: Path) -> list[str | Path]:
    return measuring.get_command(urls[:1], path)


def aria2c_from_one(urls: Sequence[str], path: Path) -> list[str | Path]:
    return measuring.aria2c_command(urls[:1], path)


def ours_from_all(urls: Sequence[str], path: Path) -> list[str | Path]:
    return measuring.get_command(own_hosts(list(urls)), path)


FROM_ALL: dict[str, line_speed.Command] = {
    "ours": ours_from_all,
    "aria2c": measuring.aria2c_command,
    line_speed.FAIR: line_speed.aria2c_with_hosts,
    "curl, one mirror": curl_command,
}
FROM_ONE: dict[str, line_speed.Command] = {"ours": ours_from_one, "aria2c": aria2c_from_one, "curl": curl_command}


def compare(title: str, size: int, commands: dict[str, line_speed.Command], turns: int, *, tls: bool) -> Compared:
    """Serve a file of this size from eight addresses and let every program fetch it `turns` times."""
    print(f"\n{title}")
    content = Content(size, seed=8)
    here = {
        name: command for name, command in commands.items() if measuring.found(str(command(["x"] * 8, Path("x"))[0]))
    }
    trusted = {name: os.environ.pop(name, None) for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE")}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            with line_speed.servers(content, Path(folder), tls=tls) as urls:
                results = line_speed.turns(here, urls, Path(folder) / "target.bin", content, turns)
        finally:
            for name, value in trusted.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    line_speed.print_results(results, size)
    return Compared(results)


class Compared:
    """Results of one row: medians over the turns."""

    def __init__(self, results: dict[str, list[Measured]]) -> None:
        self._results = results

    def ratio(self, other: str, figure: Figure) -> float:
        return line_speed.ratio(self._results, other, figure)

    def wall_ms(self) -> float:
        return 1e3 * statistics.median(each.wall_s for each in self._results.get("ours", ())) if self._results else 1e9


def wall(run: Measured) -> float:
    return run.wall_s


def cpu(run: Measured) -> float:
    return run.cpu_s


def row_of_all(name: str, size: int, turns: int) -> bool:
    bounds = {"tls": (0.45, 1.1), "plain": (0.40, 0.85)}[name]
    found = compare(f"{name}: {size >> 20} MiB from 8 addresses", size, FROM_ALL, turns, tls=name == "tls")
    fair = found.ratio(line_speed.FAIR, wall), found.ratio(line_speed.FAIR, cpu)
    print(f"NOTE  {name}: ours / {line_speed.FAIR}: wall {fair[0]:.3f}, CPU {fair[1]:.3f} (no claim)")
    reached = [
        measuring.verdict(f"{name}: wall, ours / aria2c", found.ratio("aria2c", wall), at_most=bounds[0]),
        measuring.verdict(f"{name}: CPU, ours / aria2c", found.ratio("aria2c", cpu), at_most=bounds[1]),
    ]
    return all(reached)


def small_row(turns: int) -> bool:
    found = compare("small: 1 MB from one near server", SMALL_BYTES, FROM_ONE, 3 * turns, tls=False)
    return measuring.verdict("small: wall of ours, ms", found.wall_ms(), at_most=250)


def one_row(turns: int) -> bool:
    found = compare("one: 64 MiB from one near mirror", ONE_BYTES, FROM_ONE, 3 * turns, tls=False)
    return measuring.verdict("one: wall, ours / curl", found.ratio("curl", wall), at_most=4)


def other_bench(module: str, *words: str) -> bool:
    """Run another bench, which prints its own verdicts."""
    print(f"\n{module} {' '.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", f"tests.bench.{module}", *words], cwd=measuring.ROOT).returncode == 0


def main() -> int:
    """Exit code 0 when every row that was asked for is reached."""
    options = measuring.parser("the table of speeds", runs=5)
    options.add_argument("--rows", default=",".join(ROWS), help=f"of {','.join(ROWS)}")
    options.add_argument("--size", type=int, default=1024, metavar="MIB")
    asked = options.parse_args()
    rows, size = asked.rows.split(","), asked.size << 20
    if unknown := set(rows) - set(ROWS):
        options.error(f"no such row: {', '.join(sorted(unknown))}")
    good = [row_of_all(name, size, asked.runs) for name in ("tls", "plain") if name in rows]
    good += [small_row(asked.runs)] if "small" in rows else []
    good += [one_row(asked.runs)] if "one" in rows else []
    if "jobs" in rows:
        good.append(other_bench("many_jobs"))
    if "sources" in rows:
        good.append(other_bench("decision_cost", "--sources", "10000", "--chunks", "1000000"))
        good.append(other_bench("many_sources", "--sources", "1000"))
    return 0 if all(good) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except WrongResultError as error:
        sys.exit(str(error))
