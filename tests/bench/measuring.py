"""What the benches share: running a program and knowing its time, the CPU and memory of all its processes, verdicts."""

from __future__ import annotations

import argparse
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]

from storage.durable import WRITE_BYTES

ROOT = Path(__file__).resolve().parents[2]
PSS_SAMPLE_S = 0.1
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
PACKAGES = {"aria2c": "aria2", "axel": "axel", "nginx": "nginx"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One finished run of a command; times in seconds, memory in bytes."""

    exit_code: int
    timed_out: bool
    wall_s: float
    """From before the command's first process started until it ended."""
    cpu_s: float
    """User and system time of all processes of the tree together."""
    orphans: int
    """Processes that were still there, or unwaited for, when the command ended."""
    orphans_s: float
    pss_peak_bytes: int
    """Largest sum of PSS over all processes; 0 when not sampled."""
    processes_peak: int
    output: str
    errors: str

    def job_ended(self) -> dict[str, Any] | None:
        """The report of `run.py get --json`: the last line of its output; None when there is none."""
        lines = self.output.strip().splitlines()
        try:
            shown = json.loads(lines[-1]) if lines else None
        except ValueError:
            return None
        return shown if isinstance(shown, dict) and shown.get("event") == "job_ended" else None


def measured(command: Sequence[str | Path], *, limit_s: float, sample_pss: bool = False) -> Measured:
    """Run a command to its end or for `limit_s`, then kill its whole tree. Sampling disturbs the timing a little."""
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        report_path = Path(folder) / "report.json"
        out_path, error_path = Path(folder) / "out", Path(folder) / "errors"
        with out_path.open("wb") as out, error_path.open("wb") as errors:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.launcher", report_path, *command],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=_plain_environment(),
            )  # fmt: skip
            watch = _Watch(launcher, limit_s, sample_pss)
            watch.run()
        if not report_path.exists():
            raise RuntimeError(f"the launcher failed: {error_path.read_text(errors='replace')}")
        return Measured(
            **json.loads(report_path.read_text()), timed_out=watch.timed_out,
            pss_peak_bytes=watch.pss_peak_bytes, processes_peak=watch.processes_peak,
            output=out_path.read_text(errors="replace"), errors=error_path.read_text(errors="replace"),
        )  # fmt: skip


def _plain_environment() -> dict[str, str]:
    """That of an ordinary user: Python may keep its compiled modules, and does not compile them at every start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def settle(size: int) -> None:
    """Make runs comparable that write a file of `size` bytes: nothing of others left to write, and memory at hand.

    A virtual machine gives free pages back to its host; who touches them first then pays 2-3 s a GiB for it, the
    one run, and not the next. So they are touched here, right before each run, in both ways in which a run will:
    memory of a process comes in single pages, that of a written file in blocks as long as its writes. The kernel takes
    them from different lists, so that touching the one leaves the other cold. The file comes last: it needs more.
    """
    os.sync()
    with mmap.mmap(-1, 2 * size) as pages:
        for at in range(0, len(pages), mmap.PAGESIZE):
            pages[at] = 1
    block = bytes(WRITE_BYTES)
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(0, 2 * size, len(block)):
            file.write(block)


class _Watch:
    """Waits for the launcher, sampling memory when wanted, and ends everything below it at the time limit."""

    def __init__(self, launcher: subprocess.Popen[bytes], limit_s: float, sample_pss: bool) -> None:
        self._launcher = launcher
        self._until_s = time.monotonic() + limit_s
        self._sample_pss = sample_pss
        self.timed_out = False
        self.pss_peak_bytes = 0
        self.processes_peak = 0

    def run(self) -> None:
        try:
            while not self._ended():
                if time.monotonic() >= self._until_s:
                    self.timed_out = True
                    self._kill_tree()
                elif self._sample_pss:
                    self._sample()
        except BaseException:
            self._kill_tree()
            raise

    def _ended(self) -> bool:
        left_s = max(0.0, self._until_s - time.monotonic())
        try:
            self._launcher.wait(PSS_SAMPLE_S if self._sample_pss or self.timed_out else left_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill_tree(self) -> None:
        for process in self._tree():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def _sample(self) -> None:
        sizes = [_pss_bytes(process.pid) for process in self._tree()]
        self.pss_peak_bytes = max(self.pss_peak_bytes, sum(sizes))
        self.processes_peak = max(self.processes_peak, len(sizes))

    def _tree(self) -> list[psutil.Process]:
        try:
            tree: list[psutil.Process] = psutil.Process(self._launcher.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return tree


def _pss_bytes(pid: int) -> int:
    """What the process has to itself plus its share of what it shares; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def get_command(urls: Sequence[str], path: Path, *options: str) -> list[str | Path]:
    """Our program, fetching these into this file without fsyncs and telling its report."""
    return [sys.executable, ROOT / "run.py", "get", *urls, "-o", path, "--json", "--sync", "none", *options]


def aria2c_command(urls: Sequence[str], path: Path) -> list[str | Path]:
    """aria2c with one connection a mirror, as the claims say."""
    flags = [f"-s{len(urls)}", "-x1", "-k1M", "--file-allocation=none", "--no-conf=true", "--summary-interval=0"]
    quiet = ["--console-log-level=error", "--download-result=hide", "--show-console-readout=false"]
    trusted = os.environ.get("SSL_CERT_FILE")
    flags += [f"--ca-certificate={trusted}"] if trusted else []
    return ["aria2c", *flags, *quiet, "-d", path.parent, "-o", path.name, *urls]


def axel_command(urls: Sequence[str], path: Path) -> list[str | Path]:
    """axel with one connection a mirror."""
    return ["axel", "-q", "-n", str(len(urls)), "-o", path, *urls]


def found(tool: str) -> str | None:
    """Where a tool is; says on the terminal which package has it when it is nowhere."""
    path = shutil.which(tool, path=os.environ.get("PATH", "") + ":" + SYSTEM_FOLDERS)
    if path is None:
        print(f"missing: {tool} (Debian: apt install {PACKAGES.get(tool, tool)}); going on without it")
    return path


def clear(path: Path) -> None:
    """Remove a target and everything a downloader keeps beside it."""
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()


def parser(claim: str, *, runs: int) -> argparse.ArgumentParser:
    """The options all benches have."""
    made = argparse.ArgumentParser(description=claim)
    made.add_argument("--runs", type=int, default=runs, help=f"how often (default {runs}); medians count")
    made.add_argument("--folder", type=Path, help="where files go; same disk for every program (default: TMPDIR)")
    return made


def print_table(rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; the first row is the head, the first column is left-aligned."""
    texts = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        first, *rest = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip())


def verdict(claim: str, figure: float, *, at_most: float | None = None, at_least: float | None = None) -> bool:
    """Print and return whether a figure reaches its bound; NaN reaches none."""
    reached = (at_most is None or figure <= at_most) and (at_least is None or figure >= at_least)
    bound = f"must be <= {at_most:g}" if at_most is not None else f"must be >= {at_least:g}"
    print(f"{'PASS' if reached else 'FAIL'}  {claim}: {figure:.3f} ({bound})")
    return reached


def trouble(run: Measured) -> str:
    """Why a run of ours brought no sealed file, in one line."""
    said = (run.errors.strip() or run.output.strip() or "nothing").splitlines()[-1]
    return f"{'time limit' if run.timed_out else f'exit code {run.exit_code}'}, said: {said[:300]}"
