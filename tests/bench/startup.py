"""Start-up tricks: the wall time that each saves in ``get`` of a small local file, in a ``search`` that finds no
server, and in ``--version``.

    python -m tests.bench.startup --pairs 15

Paired runs, with and without one trick, in alternating order; the figure is the median of the differences. A trick is
switched off by a line that runs before the program does, so both runs of a pair load the same modules otherwise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.measuring import ROOT
from tests.http_mirrors.box import Character, Content, mirrors

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
sys.argv = ["run.py", *sys.argv[1:]]
{without}
import run
run.shoal()
"""
ENVIRONMENT = {
    **os.environ,
    "SHOAL_SOULSEEK_USERNAME": "any",
    "SHOAL_SOULSEEK_PASSWORD": "any",
    "SHOAL_SOULSEEK_SERVER": "127.0.0.1",
    "SHOAL_SOULSEEK_PORT": "1",
}
TRICKS = {
    "none (what the method itself shows)": "",
    "gc.disable and gc.freeze while loading": "import gc; gc.disable = gc.freeze = lambda: None",
    "os._exit at the end": "import actors.local.start_up as s; s.leave = sys.exit",
    "forkserver forked off this process": "import actors.runtime.spawn as s; s.install = lambda: None",
    "modules preloaded in the forkserver": "import actors.local.start_up as s; "
    "s.PRELOADED = s.PRELOADED_SESSION = ('actors.builders',)",
    "forkserver before the command line is read": "import actors.local.start_up as s; s._preloaded = lambda _: ()",
    "all of them": "import gc; gc.disable = gc.freeze = lambda: None; import actors.runtime.spawn as r; "
    "r.install = lambda: None; import actors.local.start_up as s; s._preloaded = lambda _: (); s.leave = sys.exit",
}
"""Name of each trick, and the statements that switch it off."""


def seconds(words: list[str], without: str, folder: str) -> float:
    """Run the program once and return its wall time."""
    program = PROGRAM.format(root=str(ROOT), without=without)
    begun_s = time.perf_counter()
    command = [sys.executable, "-c", program, *words]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    return time.perf_counter() - begun_s


def saved_ms(words: list[str], without: str, pairs: int, folder: str) -> tuple[float, float, float]:
    """Return the median time with the trick, and the median and the spread (quartiles apart) of what it saves."""
    times, differences = [], []
    for pair in range(pairs):
        found = {}
        for switched_off in (pair % 2 == 0, pair % 2 == 1):
            for old in Path(folder).iterdir():
                old.unlink()
            found[switched_off] = seconds(words, without if switched_off else "", folder)
        times.append(found[False])
        differences.append(found[True] - found[False])
    quarters = statistics.quantiles(differences, n=4)
    return 1e3 * statistics.median(times), 1e3 * statistics.median(differences), 1e3 * (quarters[2] - quarters[0])


def main() -> None:
    """Print a line for each trick and command."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--pairs", type=int, default=15)
    options.add_argument("--only", default="", help="tricks whose name holds this")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, mirrors([Character()], Content(700_000)) as box:
        commands = {
            "--version": ["--version"],
            "get": ["get", box.url("m0"), "-o", "file.bin", "--quiet"],
            "search": ["search", "x", "--wait", "1"],
        }
        for trick, without in ((name, without) for name, without in TRICKS.items() if asked.only in name):
            for command, words in commands.items():
                if command == "--version" and "forkserver" in trick:
                    continue
                time_ms, median_ms, spread_ms = saved_ms(words, without, asked.pairs, folder)
                figures = f"{median_ms:7.1f} ms (quartiles {spread_ms:.0f} ms)"
                print(f"{command:10}{time_ms:6.0f} ms   saved by {trick:50}{figures}", flush=True)


if __name__ == "__main__":
    main()
