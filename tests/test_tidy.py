"""The house rules, checked: who may import whom, where a library is at home, how long a function may be."""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Container, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {"pyproject.toml", "README.md", "actors", "protocol", "storage", "tests", "run.py"}
BESIDE = {"LICENSE", "ARCHITECTURE.md", "CHANGELOG.md"}
ROOMS = (
    "run",
    "actors.core",
    "actors.runtime",
    "actors.sources",
    "actors.soulseek",
    "actors.fleet",
    "actors.api",
    "actors.daemon",
    "actors.local",
    "actors.demo",
    "actors",
    "storage",
    "protocol.model",
    "protocol.messages",
    "protocol.config",
    "protocol.client",
    "protocol.http_api",
    "protocol.cli",
    "protocol",
    "tests",
)
VOCABULARY = {"protocol.model", "protocol.messages"}
PROTOCOL = {room for room in ROOMS if room.startswith("protocol")}
MAY_IMPORT = {
    "run": set(ROOMS) - {"tests"},
    "actors": {"actors", "actors.core", "actors.runtime", "actors.sources", "storage", *PROTOCOL},
    "actors.core": {"actors.core", *VOCABULARY},
    "actors.runtime": {"actors.runtime", *VOCABULARY},
    "actors.sources": {"actors.sources", "actors.runtime", *VOCABULARY},
    "actors.soulseek": {"actors.soulseek", "actors.core", "actors.runtime", "actors.sources", "storage", *PROTOCOL},
    "actors.fleet": {"actors.fleet", "actors.core", "actors.runtime", "actors.sources", "storage", *PROTOCOL},
    "actors.api": {"actors.api", "actors.runtime", *PROTOCOL},
    "actors.daemon": {
        "actors.daemon",
        "actors",
        "actors.core",
        "actors.runtime",
        "actors.api",
        "actors.soulseek",
        "actors.fleet",
        "storage",
        *PROTOCOL,
    },
    "actors.local": {
        "actors.local",
        "actors",
        "actors.core",
        "actors.runtime",
        "actors.soulseek",
        "storage",
        *PROTOCOL,
    },
    "actors.demo": {"actors.demo", "actors.fleet", "actors.local", *PROTOCOL},
    "storage": {"storage", *VOCABULARY},
    "protocol.model": {"protocol.model"},
    "protocol.messages": VOCABULARY,
    "protocol.config": {"protocol.config", *VOCABULARY},
    "protocol.client": {"protocol.client", "protocol.config", *VOCABULARY},
    "protocol.http_api": {"protocol.http_api", "protocol.config", *VOCABULARY},
    "protocol.cli": {"protocol.cli", "protocol.client", "protocol.config", *VOCABULARY},
    "protocol": {"protocol"},
}
HOMES = {
    "fastapi": {"protocol/http_api"},
    "starlette": {"protocol/http_api"},
    "pydantic": {"protocol/http_api"},
    "uvicorn": {"actors/api/connections.py", "actors/api/server.py"},
    "jwt": {"protocol/http_api/middleware/authorization.py"},
    "platformdirs": {"protocol/config"},
    "httpx": {"protocol/http_api/events", "protocol/client"},
    "httpx_sse": {"protocol/client"},
    "prometheus_client": {"protocol/http_api/monitoring.py"},
    "aioslsk": {"actors/soulseek", "actors/demo/soulseek"},
    "nats": {"actors/fleet/bus.py"},
    "botocore": {"actors/fleet/objects.py"},
    "nkeys": {"actors/fleet/brokers.py"},
    "nacl": {"actors/fleet/brokers.py"},
    "msgspec": {"protocol"},
    "msgpack": {"protocol/messages/codec.py"},
    "pykka": {"actors/runtime/actor.py"},
    "h11": {"actors/sources/http"},
    "idna": {"protocol/model/source_url.py"},
    "socksio": {"actors/sources/http/socks.py"},
    "typer": {"protocol/cli"},
    "rich": {"protocol/cli"},
    "xxhash": {"storage", "actors/demo"},
    "mutagen": {"storage/placing/tags.py"},
    "psutil": {"actors/runtime/process_stats.py"},
}
"""Where a third-party library may be imported; everywhere else it is reached through what we made of it."""
IMPURE_IN_CORE = {"time", "socket", "threading", "random", "os", "asyncio", "subprocess", "logging", "pathlib"}
WALL_CLOCK_HOMES = {
    "actors/job_manager.py",
    "protocol/http_api/slskd/searches.py",
    "actors/peer_history.py",
    "actors/sources/http/head.py",
    "protocol/http_api/login.py",
    "protocol/http_api/native/wishlist.py",
    "protocol/http_api/events/hook_delivery.py",
    "actors/fleet/node.py",
}
"""When something happened to a job and what time of the week it is, the day of a ledger, a server's ``Retry-After``
that is a date, how long a session holds, when a search began, when a webhook was signed, and the clock that a fleet's
node shows to the others."""
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 660
FILES_IN_FOLDER_MAX = 20
SHARD_LINES = 60
SHARDS_MAX = 45
"""Files shorter than `SHARD_LINES`, outside tests and without ``__init__``."""
NOT_OURS = {".git", ".venv", ".pytest_cache", ".hypothesis", "build", "dist"}
BANNED_WORDS = re.compile(r"\b(nobody|somebody|whoever|anew|told|so many|as it stands)\b", re.IGNORECASE)
RIDDLES = re.compile(r"(what|who|how|when|where|which)\b", re.IGNORECASE)


def sources() -> Iterator[Path]:
    yield ROOT / "run.py"
    for room in ("actors", "protocol", "storage", "tests"):
        yield from sorted((ROOT / room).rglob("*.py"))


def outside_tests() -> list[Path]:
    return [path for path in sources() if not name_of(path).startswith("tests")]


def papers() -> list[Path]:
    folders = [ROOT, *(folder for folder in ROOT.iterdir() if folder.is_dir() and folder.name not in NOT_OURS)]
    return sorted(path for folder in folders for path in (folder.glob if folder == ROOT else folder.rglob)("*.md"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(module: str) -> str | None:
    return next((room for room in ROOMS if module == room or module.startswith(room + ".")), None)


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Parsed once for all rules."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports_of(path: Path) -> frozenset[str]:
    return frozenset(_imports_of(path))


def _imports_of(path: Path) -> Iterator[str]:
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: a relative import hides its arrow"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_top_level_is_what_the_owner_fixed() -> None:
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    found -= {"build", "dist", "__pycache__"} | {name for name in found if name.endswith(".egg-info")}
    assert found <= TOP_LEVEL | BESIDE
    assert found >= TOP_LEVEL


@pytest.mark.parametrize("path", outside_tests(), ids=name_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    own = room_of(name_of(path).removesuffix(".py").replace("/", "."))
    assert own is not None
    for module in imports_of(path):
        room = room_of(module)
        assert room is None or room in MAY_IMPORT[own], f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "actors" / "core").glob("*/*.py")), ids=name_of)
def test_no_wing_of_the_core_imports_another(path: Path) -> None:
    """Deciders know each other by messages only, so that each can be read and moved alone."""
    own = f"actors.core.{path.parent.name}"
    wings = {f"actors.core.{each.name}" for each in (ROOT / "actors" / "core").iterdir() if each.is_dir()} - {own}
    reached = {".".join(module.split(".")[:3]) for module in imports_of(path)}
    assert not reached & wings, f"{name_of(path)} imports {reached & wings}"


def test_imports_run_in_no_circle() -> None:
    """Imports for type checkers count, those inside a function do not: they are made when all is loaded."""
    modules = {module_of(path): path for path in outside_tests()}
    graph = {name: set(reached_modules(path, modules)) - {name} for name, path in modules.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        raise AssertionError(" imports ".join(reversed(circle.args[1]))) from None


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def reached_modules(path: Path, modules: Container[str]) -> Iterator[str]:
    """The modules of ours that are imported outside functions."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module or "" for name in names if node.module in modules)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("path", sorted((ROOT / "actors" / "core").rglob("*.py")), ids=name_of)
def test_the_core_is_pure(path: Path) -> None:
    reached = {module.partition(".")[0] for module in imports_of(path)}
    assert not reached & IMPURE_IN_CORE, "decisions are made without clock, thread, socket, file or chance"


@pytest.mark.parametrize("path", outside_tests(), ids=name_of)
def test_the_wall_clock_is_read_only_where_a_date_is_meant(path: Path) -> None:
    """People and time servers set it by hours, in both directions; what waits, expires or measures must not notice."""
    read = {
        f"{node.value.id}.{node.attr}"
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    wall = read & {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}
    assert not wall or name_of(path) in WALL_CLOCK_HOMES


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_has_one_home(library: str) -> None:
    for path in sources():
        name = name_of(path)
        if name.startswith("tests") or library not in {module.partition(".")[0] for module in imports_of(path)}:
            continue
        assert any(name == home or name.startswith(home + "/") for home in HOMES[library]), f"{name}: {library}"


@pytest.mark.parametrize("path", list(sources()), ids=name_of)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= FILE_LINES_MAX, f"{name_of(path)}: split it"
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{name_of(path)}: {node.name} has {length} lines"


def test_folders_are_small_and_files_are_no_shards() -> None:
    files = [path for path in outside_tests() if path.name != "__init__.py"]
    folders = Counter(path.parent for path in files)
    assert not {name_of(folder): count for folder, count in folders.items() if count > FILES_IN_FOLDER_MAX}
    shards = [name_of(path) for path in files if path.read_text(encoding="utf-8").count("\n") < SHARD_LINES]
    assert len(shards) <= SHARDS_MAX, f"merge these into what they belong to: {shards}"


@pytest.mark.parametrize("path", [*outside_tests(), *papers()], ids=name_of)
def test_the_words_are_plain(path: Path) -> None:
    """English that an engineer would search for, in code and papers; see the habits in ARCHITECTURE.md."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not [f"{at}: {line.strip()}" for at, line in enumerate(lines, 1) if BANNED_WORDS.search(line)]


@pytest.mark.parametrize("path", outside_tests(), ids=name_of)
def test_a_docstring_names_the_thing(path: Path) -> None:
    """By a noun phrase, its standard term first; no riddle that the reader has to solve."""
    for node in nodes_of(path):
        if isinstance(node, ast.Module | ast.ClassDef):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            assert not RIDDLES.match(first), f"{name_of(path)}: {first}"


PINS = ROOT / ".ci/constraints.txt"
DISTRIBUTIONS = {"jwt": "pyjwt", "httpx_sse": "httpx-sse", "prometheus_client": "prometheus-client"}
OF_FLEETS = {"nats": "nats-py", "nkeys": "nats-py", "nacl": "nats-py", "botocore": "botocore"}
"""Names of packages that are called otherwise than what is imported from them."""


def test_every_library_is_declared_and_pinned_with_hashes() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=]", line)[0] for line in declared}
    assert {DISTRIBUTIONS.get(library, library) for library in HOMES if library not in OF_FLEETS} <= names
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["fleet"]
    of_fleets = {re.split(r"[\[<>=]", line)[0] for line in extra}
    assert set(OF_FLEETS.values()) <= of_fleets
    pins = re.findall(
        r"^([a-z0-9-]+)==([^ ;]+)([^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
        PINS.read_text(),
        re.MULTILINE,
    )
    assert names | of_fleets <= {name for name, _, _ in pins}
    assert len(pins) == len(re.findall(r"^[a-z]", PINS.read_text(), re.MULTILINE)), "a pin without hashes"


def test_known_holes_are_below_the_floors() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "h11>=0.16" in declared  # CVE-2025-43859: request smuggling by chunks
    assert "starlette>=0.49.1" in declared  # CVE-2025-62727: ranges that take quadratic time
