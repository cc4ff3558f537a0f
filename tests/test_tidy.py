"""The house rules, checked: who may import whom, where a library is at home, how long a function may be."""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
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
    "idna": {"protocol/model/source_url.py"},
    "socksio": {"actors/sources/http/socks.py"},
    "typer": {"protocol/cli"},
    "rich": {"protocol/cli"},
    "xxhash": {"storage", "actors/demo"},
    "miniaudio": {"storage/containers/flac_decoder.py"},
    "mutagen": {"storage/placing/tags.py"},
    "psutil": {"actors/runtime/process_stats.py"},
}
"""Where a third-party library may be imported; everywhere else it is reached through what we made of it."""
CONSTANT = re.compile(r"`([A-Z_]+)` ([\d./]+(?: \d{3})*)(?: ([MG]iB))?")
IMPURE_IN_CORE = {"time", "socket", "threading", "random", "os", "asyncio", "subprocess", "logging", "pathlib"}
WALL_CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}
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
FILE_LINES_MAX = 600
FILES_IN_FOLDER_MAX = 20
SHARD_LINES = 60
SHARDS_MAX = 45
"""Files shorter than `SHARD_LINES`, outside tests and without ``__init__``."""
NOT_OURS = {".git", ".venv", ".pytest_cache", ".hypothesis", "build", "dist"}
BANNED_WORDS = re.compile(r"\b(nobody|somebody|whoever|anew|told|so many|as it stands)\b", re.IGNORECASE)
RIDDLES = re.compile(r"(what|who|how|when|where|which|whether)\b|one (a|in|for)\b|(?-i:`[a-z_]+`)", re.IGNORECASE)


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


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def room_of(module: str) -> str | None:
    return next((room for room in ROOMS if module == room or module.startswith(room + ".")), None)


def lines_of(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


def nodes_of(tree: ast.AST) -> list[ast.AST]:
    """Return all nodes of a tree but those that only say how a name is used; thrice as fast as `ast.walk`."""
    found = [tree]
    for node in found:
        for held in vars(node).values():
            if isinstance(held, list):
                found += [each for each in held if isinstance(each, ast.AST)]
            elif isinstance(held, ast.AST) and not isinstance(held, ast.expr_context):
                found.append(held)
    return found


@dataclass(frozen=True)
class File:
    """Module that is read and parsed once for all rules."""

    path: Path
    text: str
    tree: ast.Module
    nodes: list[ast.AST]

    @classmethod
    def of(cls, path: Path) -> "File":
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        return cls(path, text, tree, nodes_of(tree))

    @property
    def name(self) -> str:
        return name_of(self.path)

    @property
    def module(self) -> str:
        return module_of(self.path)

    @cached_property
    def imports(self) -> set[str]:
        found = set()
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}: a relative import hides its arrow"
                found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        return found


def test_the_top_level_is_what_the_owner_fixed() -> None:
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    found -= {"build", "dist", "__pycache__"} | {name for name in found if name.endswith(".egg-info")}
    assert found <= TOP_LEVEL | BESIDE
    assert found >= TOP_LEVEL


@pytest.mark.timeout(600)
def test_every_module_keeps_the_rules() -> None:
    """One test: to parse all files takes longer than to check them."""
    wrong: list[str] = []
    graph: dict[str, set[str]] = {}
    modules = {module_of(path) for path in outside_tests()}
    for file in map(File.of, sources()):
        rules: tuple[Callable[[File], Iterator[str]], ...] = RULES_EVERYWHERE
        if file.name.startswith("tests"):
            rules = (*rules, has_plain_names) if file.path != Path(__file__) else rules
        else:
            rules = (*rules, *RULES_OUTSIDE_TESTS)
            graph[file.module] = set(reached_modules(file.nodes, modules)) - {file.module}
        if file.name.startswith("actors/core/"):
            rules = (*rules, *RULES_OF_THE_CORE)
        wrong += [f"{file.name}: {complaint}" for rule in rules for complaint in rule(file)]
    assert not wrong, "\n".join(wrong)
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        raise AssertionError(" imports ".join(reversed(circle.args[1]))) from None


def test_the_table_of_tuning_constants_is_what_the_code_has() -> None:
    table = (
        (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Tuning constants")[2].partition("\n## ")[0]
    )
    wrong = []
    for row in table.splitlines():
        _, _, constants, places, *_ = [*row.split("|"), "", "", "", ""]
        names = re.findall(r"`([^`]+)`", places)
        folder, found = ROOT, dict[str, set[float]]()
        for name in names if CONSTANT.search(constants) else ():
            folder = next(each for each in (ROOT / "actors/core", ROOT, folder) if (each / name).exists())
            files = [folder / name] if name.endswith(".py") else sorted((folder / name).glob("*.py"))
            folder = files[0].parent
            for path in files:
                for constant, value in re.findall(r"^([A-Z_]+): Final = (.+)$", path.read_text(encoding="utf-8"), re.M):
                    with suppress(Exception):  # one that is no number
                        found.setdefault(constant, set()).add(float(eval(value, {"float": float})))
        for constant, value, unit in CONSTANT.findall(constants):
            said = float(eval(value.replace(" ", ""))) * {"MiB": 1 << 20, "GiB": 1 << 30}.get(unit, 1)
            if not any(abs(each - said) < 1e-9 for each in found.get(constant, ())):
                wrong.append(f"{constant} is not {value}: {found.get(constant)}")
    assert not wrong, wrong


def reached_modules(nodes: Iterable[ast.AST], modules: Container[str]) -> Iterator[str]:
    """Modules of ours that are imported, also those that a function loads when it is called."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module or "" for name in names if node.module in modules)


def is_short(file: File) -> Iterator[str]:
    if file.text.count("\n") > FILE_LINES_MAX:
        yield "split it"
    for node in file.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{node.name} has {length} lines"


def follows_the_arrows(file: File) -> Iterator[str]:
    may = {None, *MAY_IMPORT[room_of(file.module) or ""]}
    yield from (f"imports {module}" for module in file.imports if room_of(module) not in may)


def keeps_libraries_at_home(file: File) -> Iterator[str]:
    for library in {module.partition(".")[0] for module in file.imports} & HOMES.keys():
        if not any(file.name == home or file.name.startswith(home + "/") for home in HOMES[library]):
            yield f"{library} has another home"


def reads_the_wall_clock_only_for_dates(file: File) -> Iterator[str]:
    """People and time servers set it by hours, in both directions; what waits, expires or measures must not notice."""
    for node in file.nodes if file.name not in WALL_CLOCK_HOMES else ():
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if f"{owner}.{name}" in WALL_CLOCKS:
                yield f"line {node.lineno} reads the wall clock"


def has_plain_words(file: File) -> Iterator[str]:
    yield from odd_words(file.text)


def has_plain_names(file: File) -> Iterator[str]:
    """In names, docstrings and comments; what a test sends or expects may hold any word."""
    for node in file.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from odd_words(node.name.replace("_", " "))
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from odd_words(ast.get_docstring(node) or "")
        if isinstance(node, ast.Name | ast.arg):
            yield from odd_words((node.id if isinstance(node, ast.Name) else node.arg).replace("_", " "))
    yield from odd_words("\n".join(re.findall(r"(?:^|  )# .*", file.text, re.MULTILINE)))


def odd_words(text: str) -> Iterator[str]:
    lines = enumerate(text.splitlines(), 1)
    yield from (f"line {at}: {line.strip()}" for at, line in lines if BANNED_WORDS.search(line))


def has_docstrings_that_name_the_thing(file: File) -> Iterator[str]:
    """By a noun phrase, its standard term first; no riddle that the reader has to solve."""
    for node in file.nodes:
        if isinstance(node, ast.Module | ast.ClassDef):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if RIDDLES.match(first):
                yield first


def is_pure(file: File) -> Iterator[str]:
    """Decisions are made without clock, thread, socket, file or chance."""
    yield from {module.partition(".")[0] for module in file.imports} & IMPURE_IN_CORE


def imports_no_other_wing(file: File) -> Iterator[str]:
    """Deciders know each other by messages only, so that each can be read and moved alone."""
    core = ROOT / "actors" / "core"
    wings = {f"actors.core.{each.name}" for each in core.iterdir() if each.is_dir()}
    own = ".".join(file.module.split(".")[:3])
    reached = {".".join(module.split(".")[:3]) for module in file.imports}
    yield from (f"imports {wing}" for wing in reached & wings - {own} if own in wings)


RULES_EVERYWHERE = (is_short,)
RULES_OUTSIDE_TESTS = (
    follows_the_arrows,
    keeps_libraries_at_home,
    reads_the_wall_clock_only_for_dates,
    has_plain_words,
    has_docstrings_that_name_the_thing,
)
RULES_OF_THE_CORE = (is_pure, imports_no_other_wing)


def test_folders_are_small_and_files_are_no_shards() -> None:
    files = [path for path in outside_tests() if path.name != "__init__.py"]
    folders = Counter(path.parent for path in files)
    assert not {name_of(folder): count for folder, count in folders.items() if count > FILES_IN_FOLDER_MAX}
    shards = [name_of(path) for path in files if lines_of(path) < SHARD_LINES]
    assert len(shards) <= SHARDS_MAX, f"merge these into what they belong to: {shards}"


def test_the_words_of_the_papers_are_plain() -> None:
    """English that an engineer would search for; see the habits in ARCHITECTURE.md."""
    for path in papers():
        assert not list(odd_words(path.read_text(encoding="utf-8"))), name_of(path)


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
