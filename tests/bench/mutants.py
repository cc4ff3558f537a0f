"""Mutation test: ``python -m tests.bench.mutants --module storage --tests tests/storage [--sample 160] [--seed 1]``.

cosmic-ray (``pip install cosmic-ray``) lists the mutants of a module; of a random sample of *places*, one random mutant
each is made in a copy of the tree and judged by the tests. What a test, an exception or the time limit finds is killed.
The claim is 85 %. Survivors are shown as diffs: each is a test that is missing, or a change that means nothing.
"""

import argparse
import random
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """[cosmic-ray]
module-path = {module!r}
timeout = {timeout_s}
excluded-modules = {excluded!r}
test-command = {command!r}
[cosmic-ray.distributor]
name = "local"
"""


def copied(folder: Path) -> None:
    """Copy all files that git knows; mutants are made there."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def sampled(session: Path, tree: Path, count: int, seed: int) -> tuple[int, int]:
    """Keep one random mutant of each of `count` random places; ``(places, mutants)`` that there were."""
    with sqlite3.connect(session) as db:
        places: dict[tuple[object, ...], list[str]] = {}
        texts: dict[str, list[str]] = {}
        for job, *place in db.execute(
            "SELECT job_id, module_path, start_pos_row, start_pos_col FROM mutation_specs"
            " WHERE operator_name NOT GLOB '*BitOr_*'"  # the bars of type hints
            " ORDER BY 2, 3, 4, operator_name, occurrence"
        ):
            module, row, _column = place
            lines = texts.setdefault(module, (tree / module).read_text(encoding="utf-8").splitlines())
            if not lines[row - 1].lstrip().startswith("@"):  # whether a dataclass is frozen or has slots
                places.setdefault(tuple(place), []).append(job)
        rng = random.Random(seed)
        kept = {rng.choice(places[place]) for place in rng.sample(sorted(places, key=str), min(count, len(places)))}
        dropped = [(job,) for (job,) in db.execute("SELECT job_id FROM mutation_specs") if job not in kept]
        for table in ("mutation_specs", "work_items"):
            db.executemany(f"DELETE FROM {table} WHERE job_id = ?", dropped)
    return len(places), len(dropped) + len(kept)


def report(session: Path) -> float:
    """Show the survivors and the count of outcomes; the share that was killed."""
    with sqlite3.connect(session) as db:
        rows = db.execute("SELECT test_outcome, worker_outcome, diff FROM work_results").fetchall()
    outcomes = Counter("skipped" if worker != "NORMAL" else str(test).lower() for test, worker, _diff in rows)
    for test, worker, diff in rows:
        if test == "SURVIVED" and worker == "NORMAL":
            print("\n".join(line for line in diff.splitlines() if not line.startswith(("diff ", "index "))))
    judged = outcomes["killed"] + outcomes["survived"]
    print(f"{dict(outcomes)}: {outcomes['killed']} of {judged} killed, {outcomes['killed'] / max(judged, 1):.1%}")
    return outcomes["killed"] / max(judged, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--module", default="storage", help="folder whose code is changed")
    parser.add_argument("--tests", default="tests/storage", help="tests that judge, with pytest's options")
    parser.add_argument("--exclude", action="append", default=[], help="file left out; may be repeated")
    parser.add_argument("--sample", type=int, default=160)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds a mutant")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mutants-") as made:
        folder, session, config = Path(made, "tree"), Path(made, "session.sqlite"), Path(made, "config.toml")
        folder.mkdir()
        copied(folder)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--timeout", "30"]
        config.write_text(
            CONFIG.format(
                module=options.module,
                timeout_s=options.timeout,
                excluded=options.exclude,
                command=shlex.join([*command, *shlex.split(options.tests)]),
            )
        )
        for step in ("init", "baseline", "exec"):
            run = ["cosmic-ray", step, str(config), *([] if step == "baseline" else [str(session)])]
            subprocess.run(run, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            if step == "init":
                print(
                    "{} places, {} mutants".format(*sampled(session, folder, options.sample, options.seed)), flush=True
                )
        return 0 if report(session) >= 0.85 else 1


if __name__ == "__main__":
    sys.exit(main())
