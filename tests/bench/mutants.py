"""Mutation test: ``python -m tests.bench.mutants --module storage --tests tests/storage [--sample 160] [--seed 1]``.

The operators are cosmic-ray's (``pip install cosmic-ray coverage``). Of a random sample of *places*, one random mutant
each is made in a copy of the tree and judged by those of the tests that enter its line, the quickest first. What a
test, an exception or the time limit finds is killed. The claim is 85 %. Survivors are shown as diffs: each is a test
that is missing, or a change that means nothing. `--again` judges the mutants of an earlier report that lived.
"""

import argparse
import difflib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import hypothesis.stateful  # noqa: F401  # for its children
import msgpack  # noqa: F401
import msgspec  # noqa: F401
import pytest
import xxhash  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
DURATIONS = "durations.json"
PYTEST = (
    *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
    *("-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin", "--timeout", "30"),
)
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # to load them all would take longer than most tests
}


_UNSEEN = re.compile(r"^ *@|(strict|frozen|kw_only)=True$")
"""How a dataclass is made, and whether `zip` would notice a bug of ours: no behaviour."""
_NO_CHANGE = re.compile(r"BitOr_|_(Eq|NotEq|Lt|LtE|Gt|GtE)_Is(Not)?$|_Is_Eq$|_IsNot_NotEq$")
"""The bars of types; and whether equal numbers are one object, which is the interpreter's affair."""
_STAR = re.compile(r"[(, ]\*,")
"""Of a signature, no product."""


class Mutant(NamedTuple):
    """One change of one module: the `occurrence`-th place of an operator of cosmic-ray."""

    module: str
    operator: str
    occurrence: int
    row: int
    column: int

    def __str__(self) -> str:
        return " ".join(map(str, self))


# Part of pytest in the run that notes which test enters which line.

_durations: defaultdict[str, float] = defaultdict(float)


def _function(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def pytest_runtest_setup(item: Any) -> None:
    """Note the lines that follow for this test."""
    import coverage

    measured = coverage.Coverage.current()
    if measured is not None:
        measured.switch_context(_function(item.nodeid))


def pytest_runtest_logreport(report: Any) -> None:
    """Add up a test's time."""
    _durations[_function(report.nodeid)] += report.duration


def pytest_sessionfinish() -> None:
    """Leave the times behind."""
    Path(DURATIONS).write_text(json.dumps(_durations), encoding="utf-8")


class Tests:
    """The tests that judge, by the lines that they enter."""

    def __init__(self, tree: Path, module: str, words: Sequence[str]) -> None:
        import coverage

        self._tree, self._words = tree, [word for word in words if not word.startswith("tests/")]
        covered = [sys.executable, "-m", "coverage", "run", f"--source={module}", *PYTEST[1:], *words]
        covered += ["-p", "tests.bench.mutants", "--timeout", "900"]  # noting lines takes several times as long
        subprocess.run(covered, cwd=tree, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
        self._seconds: dict[str, float] = json.loads((tree / DURATIONS).read_text(encoding="utf-8"))
        self._data = coverage.CoverageData(str(tree / ".coverage"))
        self._data.read()

    def entering(self, mutant: Mutant) -> list[str]:
        """Return the tests of a line, the quickest first; all, where none enters it by itself: it is run by imports."""
        found = self._data.contexts_by_lineno(str(self._tree / mutant.module)).get(mutant.row, [])
        names = {name for name in found if name in self._seconds} or self._seconds
        return sorted(names, key=lambda name: self._seconds[name])

    def kill(self, mutant: Mutant, timeout_s: float) -> bool:
        """Whether a test fails, the program of tests included."""
        names = self.entering(mutant)  # asked here: in a child coverage begins its data file again, empty
        child = os.fork()  # pytest and what it needs are loaded already: three quarters of a second each time
        if child == 0:
            run_pytest(self._tree, [*PYTEST[3:], *self._words, *names])
        late_s = time.monotonic() + timeout_s
        try:
            while time.monotonic() < late_s:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    return status != 0
                time.sleep(0.02)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return True
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # what its tests have started


def run_pytest(tree: Path, words: Sequence[str]) -> NoReturn:
    """Run the tests of the copy in this process, a child, and end it."""
    os.setsid()
    devnull = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(devnull, number)
    os.chdir(tree)
    os.environ.update(ENVIRONMENT)
    sys.path[:] = [str(tree), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.dont_write_bytecode = False
    status = 1
    with suppress(BaseException):
        status = int(pytest.main(list(words)))
    os._exit(status)


def copied(folder: Path) -> None:
    """Copy all files that git knows; mutants are made there."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def mutants_of(tree: Path, module: str) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    from cosmic_ray.ast import Visitor, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    text = (tree / module).read_text(encoding="utf-8")
    lines = text.splitlines()
    kinds = {name: get_operator(name) for name in operator_names() if not _NO_CHANGE.search(name)}
    operators = [(name, kind()) for name, kind in kinds.items() if not kind.arguments()]
    counts: defaultdict[str, int] = defaultdict(int)
    found: list[Mutant] = []

    class Lister(Visitor):  # type: ignore[misc]
        def visit(self, node: Any) -> Any:
            for name, operator in operators:
                for (row, column), _end in operator.mutation_positions(node):
                    star = "Operator_Mul_" in name and _STAR.search(lines[row - 1])
                    if not star and not _UNSEEN.search(lines[row - 1][: column + 4]):
                        found.append(Mutant(module, name, counts[name], row, column))
                    counts[name] += 1
            return node

    Lister().walk(get_ast(text))
    yield from found


def sampled(tree: Path, module: str, exclude: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Return one random mutant of each of `count` random places."""
    names = [str(path.relative_to(tree)) for path in sorted((tree / module).rglob("*.py"))]
    places: defaultdict[tuple[str, int, int], list[Mutant]] = defaultdict(list)
    for name in names:
        if not any(fnmatch(name, pattern) for pattern in exclude):
            for each in mutants_of(tree, name):
                places[each.module, each.row, each.column].append(each)
    print(f"{len(places)} places, {sum(map(len, places.values()))} mutants", flush=True)
    rng = random.Random(seed)
    drawn = (rng.choice(places[place]) for place in rng.sample(sorted(places), len(places)))
    can_be_made = (each for each in drawn if changed_text(tree, each) is not None)
    return list(islice(can_be_made, count))


def changed_text(tree: Path, mutant: Mutant) -> str | None:
    """Return the mutant's file; None where cosmic-ray cannot make it (an exception named with its module)."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    try:
        text = (tree / mutant.module).read_text(encoding="utf-8")
        return str(mutate_code(text, get_operator(mutant.operator)(), mutant.occurrence))
    except AttributeError:
        return None


def judge(tests: Tests, tree: Path, mutant: Mutant, timeout_s: float) -> tuple[bool, str]:
    """Make a mutant, ask the tests, take it back: ``(killed, its diff)``."""
    path = tree / mutant.module
    text, stat, changed = path.read_text(encoding="utf-8"), path.stat(), changed_text(tree, mutant)
    assert changed is not None, f"{mutant} cannot be made"
    path.write_text(changed, encoding="utf-8")
    try:
        killed = tests.kill(mutant, timeout_s)
    finally:
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # else what was compiled of the mutant might be run
    name = mutant.module
    diff = difflib.unified_diff(text.splitlines(), changed.splitlines(), name, name, lineterm="", n=2)
    return killed, "\n".join(diff)


def survivors(report: Path) -> list[Mutant]:
    """Read the mutants of a report that lived."""
    found = []
    for line in report.read_text(encoding="utf-8").splitlines():
        if line.startswith("lives "):
            module, operator, *numbers = line.split()[1:]
            found.append(Mutant(module, operator, *map(int, numbers)))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--module", default="storage", help="folder whose code is changed")
    parser.add_argument("--tests", default="tests/storage", help="tests that judge, with pytest's options")
    parser.add_argument("--exclude", action="append", default=[], help="file left out; may be repeated")
    parser.add_argument("--sample", type=int, default=160)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=240.0, help="seconds a mutant")
    parser.add_argument("--again", type=Path, help="an earlier report of the same code: its survivors are the sample")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mutants-") as made:
        tree = Path(made)
        copied(tree)
        chosen = (
            survivors(options.again)
            if options.again
            else sampled(tree, options.module, options.exclude, options.sample, options.seed)
        )
        tests = Tests(tree, options.module, shlex.split(options.tests))
        count = 0
        for mutant in chosen:
            killed, diff = judge(tests, tree, mutant, options.timeout)
            count += killed
            print(f"killed {mutant}" if killed else f"{diff}\nlives {mutant}", flush=True)
    share = count / max(len(chosen), 1)
    print(f"{count} of {len(chosen)} killed, {share:.1%}")
    return 0 if share >= 0.85 else 1


if __name__ == "__main__":
    sys.exit(main())
