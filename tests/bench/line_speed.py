"""Claim: at line speed we take less time than aria2c and axel, less CPU than aria2c, and little memory.

    python -m tests.bench.line_speed [--runs PAIRS] [--size MIB] [--tls]

1 GiB from 8 nginx ports on loopback, one connection a port, `--sync none`. Programs run in turn, in changing order,
and ratios are taken within a turn, so a machine that is busy for a while is busy for all of them. Wall time is that of
the whole process, start included; CPU is that of all processes of the tree; PSS comes from a run of its own.

aria2c counts connections by host name, without the port: `-x1` with 8 ports of one address is ONE connection. The claim
is about that command; beside it aria2c runs with an address for each mirror ("8 hosts"), which is its fair chance.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import trustme

from tests.bench import measuring
from tests.bench.measuring import Measured
from tests.bench.nginx import nginx, own_hosts
from tests.http_mirrors.box import Character, Content, mirrors

PORTS = 8
LIMIT_S = 120.0
Command = Callable[[Sequence[str], Path], list[str | Path]]
FAIR = "aria2c, 8 hosts"


def aria2c_with_hosts(urls: Sequence[str], path: Path) -> list[str | Path]:
    """aria2c with one connection to each mirror, as its user would have with mirrors in the world."""
    return measuring.aria2c_command(own_hosts(list(urls)), path)


@contextlib.contextmanager
def servers(content: Content, folder: Path, *, tls: bool = False) -> Iterator[list[str]]:
    """Eight ports that serve the content as fast as they can: nginx, or else the box's unlimited mirrors."""
    program = measuring.found("nginx")
    if program is None:
        print("serving from the mirrors in a box instead: slower, so the figures say less")
        with mirrors([Character()] * PORTS, content) as box:
            yield box.urls
        return
    served = folder / "served.bin"
    with served.open("wb") as file:
        content.write_to(file)
    with nginx(program, served, PORTS, certificate=certified(folder) if tls else None) as urls:
        yield urls


def certified(folder: Path) -> Path:
    """Make a key with its certificate for the mirrors; all programs started from here trust its authority."""
    authority = trustme.CA()
    certificate = folder / "mirror.pem"
    authority.issue_cert(
        *(f"127.0.0.{number}" for number in range(1, PORTS + 1))
    ).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    os.environ["SSL_CERT_FILE"] = os.environ["CURL_CA_BUNDLE"] = str(folder / "authority.pem")
    return certificate


class WrongResultError(Exception):
    """A program did not bring the right file; the text says what happened."""


def run(name: str, command: list[str | Path], path: Path, content: Content, *, sample_pss: bool = False) -> Measured:
    """One run with its file compared and removed. Raises WrongResultError."""
    measuring.settle(content.size)
    result = measuring.measured(command, limit_s=LIMIT_S, sample_pss=sample_pss)
    right = content.matches(path)
    measuring.clear(path)
    if result.exit_code != 0 or not right:
        why = measuring.trouble(result)
        raise WrongResultError(f"{name}: {why}; content {'right' if right else 'WRONG or missing'}")
    return result


def turns(
    commands: dict[str, Command], urls: list[str], path: Path, content: Content, count: int
) -> dict[str, list[Measured]]:
    """Run every program `count` times, in turn. A program that fails once is out, and said to be."""
    results: dict[str, list[Measured]] = {name: [] for name in commands}
    for turn in range(count):
        names = [name for name in results if len(results[name]) == turn]
        for name in names[turn % len(names) :] + names[: turn % len(names)] if names else []:
            try:
                results[name].append(run(name, commands[name](urls, path), path, content))
            except WrongResultError as error:
                print(f"out: {error}")
    return {name: done for name, done in results.items() if len(done) == count}


def ratio(results: dict[str, list[Measured]], other: str, figure: Callable[[Measured], float]) -> float:
    """Median over the turns of ours / theirs; NaN when one of them has no figures."""
    if other not in results or "ours" not in results:
        return math.nan
    pairs = zip(results["ours"], results[other], strict=True)
    return statistics.median(figure(ours) / figure(theirs) for ours, theirs in pairs)


def print_results(results: dict[str, list[Measured]], size: int) -> None:
    rows: list[list[object]] = [["program", "wall s", "MB/s", "CPU s", "in each turn, wall s"]]
    for name, done in results.items():
        wall_s = statistics.median(one.wall_s for one in done)
        cpu_s = statistics.median(one.cpu_s for one in done)
        each = " ".join(f"{one.wall_s:.2f}" for one in done)
        rows.append([name, wall_s, f"{size / 1e6 / wall_s:.0f}", cpu_s, each])
    measuring.print_table(rows)


def verdicts(results: dict[str, list[Measured]], pss_mb: float, there: set[str], claims: tuple[float, float]) -> bool:
    """Print one line a claim; those that need a missing program are left out, not failed."""
    if FAIR in there:
        wall, cpu = ratio(results, FAIR, _wall_s), ratio(results, FAIR, _cpu_s)
        print(f"NOTE  ours / {FAIR}: wall {wall:.3f}, CPU {cpu:.3f} (no claim)")
    reached = [measuring.verdict("our peak PSS, MB", pss_mb, at_most=220)]
    if "aria2c" in there:
        reached.append(measuring.verdict("wall, ours / aria2c", ratio(results, "aria2c", _wall_s), at_most=claims[0]))
        reached.append(measuring.verdict("CPU, ours / aria2c", ratio(results, "aria2c", _cpu_s), at_most=claims[1]))
    if "axel" in there:
        reached.append(measuring.verdict("wall, ours / axel", ratio(results, "axel", _wall_s), at_most=0.9))
    return all(reached)


def _wall_s(run: Measured) -> float:
    return run.wall_s


def _cpu_s(run: Measured) -> float:
    return run.cpu_s


def pss_of_ours(urls: list[str], path: Path, content: Content) -> float:
    """Peak PSS in MB in a run of its own; infinite when that run failed."""
    try:
        sampled = run("ours", measuring.get_command(urls, path), path, content, sample_pss=True)
    except WrongResultError as error:
        print(error)
        return math.inf
    print(f"our memory: {sampled.pss_peak_bytes / 1e6:.0f} MB PSS in {sampled.processes_peak} processes")
    return sampled.pss_peak_bytes / 1e6


def main() -> int:
    """Exit code 0 when every claim that could be measured is reached."""
    options = measuring.parser("1 GiB from 8 nginx ports on loopback", runs=5)
    options.add_argument("--size", type=int, default=1024, metavar="MIB")
    options.add_argument("--tls", action="store_true", help="over TLS")
    asked = options.parse_args()
    content = Content(asked.size << 20, seed=8)
    commands: dict[str, Command] = {"ours": measuring.get_command}
    if measuring.found("aria2c") is not None:
        commands["aria2c"] = measuring.aria2c_command
        if measuring.found("nginx") is not None:
            commands[FAIR] = aria2c_with_hosts
    if measuring.found("axel") is not None:
        commands["axel"] = measuring.axel_command
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
        path = Path(folder) / "target.bin"
        with servers(content, Path(folder), tls=asked.tls) as urls:
            results = turns(commands, urls, path, content, asked.runs)
            pss_mb = pss_of_ours(urls, path, content)
    print_results(results, content.size)
    return 0 if verdicts(results, pss_mb, set(commands), (0.45, 1.1) if asked.tls else (0.40, 0.85)) else 1


if __name__ == "__main__":
    sys.exit(main())
