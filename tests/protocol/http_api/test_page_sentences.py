"""German for the daemon's own sentences: every one that its source can make and the page can show has a translation."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from protocol.http_api.page_files import FOLDER
from protocol.model.faults import FaultKind

ROOT = Path(__file__).resolve().parents[3]
ROOMS = (
    "actors/core",
    "actors/sources",
    "actors/soulseek",
    "actors/fleet",
    *(f"actors/{name}.py" for name in ("assembler", "document_fetch", "job_manager", "peer_worker", "piece_checks")),
    "actors/runtime/network_interface.py",
    "actors/runtime/supervisor.py",
    "storage",
    "protocol/model/integrity",
    "protocol/model/source_url.py",
    "protocol/model/remote_paths.py",
    "protocol/http_api/gateway.py",
    "protocol/http_api/login.py",
    "protocol/http_api/native",
    "protocol/http_api/middleware",
)
"""Where sentences are made that reach the page: why, reasons, notes of the timeline, refusals."""
ELSEWHERE = {
    # what ends the daemon or a command at its start, or is a fault of a caller: no page is there, or no person
    "actors/fleet/brokers.py", "actors/soulseek/settings.py", "actors/soulseek/actor.py",
    "actors/soulseek/aioslsk_patches.py", "actors/soulseek/file_connections.py", "actors/soulseek/input_limits.py",
    "actors/soulseek/search_replies.py", "actors/soulseek/event_loop.py", "actors/soulseek/negotiations.py",
    "actors/soulseek/login_watch.py",
    "storage/job_store.py", "storage/job_store_schema.py", "storage/layout.py", "storage/login_store.py",
    "storage/peer_store.py", "storage/shared_memory.py", "storage/verify.py",
}  # fmt: skip
NOT_SHOWN = {
    "it has ended: {}{}", "give sources to", "aioslsk does not stop in time", "connections were closed",
    "the shared folders could not be scanned", "a search brought more files than are looked at",
    "a search brought files that cannot be", "a user shares files that cannot be",
    "this journal was neither read nor begun", "seek to {}", "date slot {}", "link synced", "part unlinked",
    "{} bytes of digests for {} chunks", "{}: {} bytes stored do not fit {}", "permissions violation", "no such part",
    "{}: what is missing from a file of unknown size is unknown", "no such call: {}",
    "default-src 'none'; frame-ancestors 'none'", "attachment; filename*=UTF-8''{}", "sha-512=9, sha-256=10",
    "head too large", "{} all its files", "quartet tide flac",
    "the fleet process needs FleetStart, not {}", "stopped while it started",
    "{}: a span of chunk {} changed on its way", "it is not a plain file: move it away",
}  # fmt: skip
"""Log lines, programming errors, fields of headers."""
SENTENCE = re.compile(r"[a-z]{2,}.* [a-z]{2,}|^[a-z]+ [a-z]+")
PAIR = re.compile(r'"((?:[^"\\\n]|\\.)*)": "((?:[^"\\\n]|\\.)*)"')
HOLE = re.compile(r"\{[^{}]*\}")
FAULTS = {kind.name.lower().replace("_", " ") for kind in FaultKind}
TABLE = dict(PAIR.findall((FOLDER / "de.sentences.js").read_text(encoding="utf-8")))


class Sentences(ast.NodeVisitor):
    """Texts with words, holes in place of values; neither docstrings, nor what is logged or describes the API."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit(node.test)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("debug", "info", "warning", "error", "exception"):
            return
        self.visit(node.func)
        for value in (
            *node.args,
            *(each.value for each in node.keywords if each.arg not in ("description", "pattern")),
        ):
            self.visit(value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._take("".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values))
        for each in node.values:
            if isinstance(each, ast.FormattedValue):
                self.visit(each.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._take(node.value)

    def _take(self, text: str) -> None:
        if SENTENCE.search(text) and "\n" not in text and not text.lstrip().startswith("<"):
            self.found.add(text)


@cache
def made() -> frozenset[tuple[str, str]]:
    """Return each sentence and the file that it is in."""
    return frozenset(_made())


def _made() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        place = ROOT / room
        for path in [place] if place.suffix else sorted(place.rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name in ELSEWHERE:
                continue
            visitor = Sentences()
            visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
            # A route's summary begins with a capital letter; a refusal never does.
            yield from ((name, text) for text in visitor.found if "http_api" not in name or not text[0].isupper())


def bare(text: str) -> str:
    """The text without the names of its holes, and without what only joins it to others."""
    return re.sub(r"(\{\})+", "{}", HOLE.sub("{}", text)).strip(" ;,:")


def inside(text: str) -> str:
    """Its words between the first and the last hole."""
    return re.sub(r"^(\{\} )+|( \{\})+$", "", text)


KEYS = {bare(key) for key in TABLE}
ALL = "\n".join(KEYS)


def said(text: str) -> bool:
    """Whether there is German for it: whole, without what may be added, as a part of a longer one, or in parts."""
    whole = bare(text.replace("{{", "{").replace("}}", "}"))
    short = re.sub(r"(?<=[\w)])\{\}", "", whole)
    if {whole, short} & KEYS or re.search(rf"(?<![\w{{]){re.escape(inside(whole))}(?![\w}}])", ALL):
        return True
    return any(mark in whole and all(map(said, whole.split(mark, 1))) for mark in ("; ", ": ", ", ")) or whole == "{}"


def test_every_sentence_of_the_daemon_has_german() -> None:
    lacking = {(name, text) for name, text in made() if text not in NOT_SHOWN and not said(text)}
    assert not lacking, "\n".join(f"{name}: {text}" for name, text in sorted(lacking))


def test_what_says_that_none_lacks_would_see_one_that_does() -> None:
    assert not said("the moon hides {}")
    assert said("{} redirects in a circle")
    assert said("the limit of {} for all jobs together{}")


def pairs(text: str) -> set[tuple[str, str]]:
    """Words of a text that stand side by side."""
    words = re.findall(r"[a-z']+", HOLE.sub(" | ", text).lower())
    return set(pairwise(words))


def test_no_sentence_is_translated_that_is_not_made() -> None:
    """German that nothing leads to any more is dead. Users, systems and libraries have words of their own."""
    theirs = re.compile(r"[A-Z]|(file|user|connection|not|too|no) \w+\.?$")
    english = set().union(*(pairs(text) for _, text in made()), pairs("its row in the job store is damaged: order it"))
    for key in TABLE.keys() - FAULTS:
        found = pairs(key)
        assert len(found & english) * 2 >= len(found) or theirs.match(key), key


def test_every_fault_that_a_user_is_known_for_has_german() -> None:
    assert TABLE.keys() >= FAULTS


def test_german_sentences_have_the_holes_of_the_english_ones() -> None:
    for key, text in TABLE.items():
        english = [hole for hole in HOLE.findall(key) if re.fullmatch(r"\{\w+\}", hole)]
        german = [hole for hole in HOLE.findall(text) if re.fullmatch(r"\{\w+\}", hole)]
        assert len(english) == len(set(english)), key
        assert not Counter(german) - Counter(english), key
