"""Files of the page as they lie there: how large they are, and whether the other language has every text."""

import re

from protocol.http_api.errors import STATUS_OF
from protocol.http_api.page_files import FOLDER, TYPES

FIRST_BYTES_MAX = 100_000
ALL_BYTES_MAX = 176_500
"""Without the licences of what is vendored, and without another language. All views, readable: nothing is built."""
GERMAN = ("de.js", "de.later.js", "de.sentences.js")
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js")}
TEXT = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


def loaded_first() -> set[str]:
    """The document, what it names, and what those import at once."""
    seen, due = set(), {"index.html"}
    while due:
        name = due.pop()
        seen.add(name)
        text = (FOLDER / name).read_text(encoding="utf-8")
        found = re.findall(r'(?:href|src)="\{\{base}}/page/([^"]+)"', text)
        found += [each.removeprefix("./") for each in re.findall(r'^import .* from "([^"]+)";$', text, re.MULTILINE)]
        due |= set(found) - seen
    return seen


def test_what_is_loaded_first_is_small_and_is_little() -> None:
    first = loaded_first()
    assert {"app.js", "lib.js", "style.css", "vendor/preact.mjs"} <= first
    assert sum((FOLDER / name).stat().st_size for name in first) < FIRST_BYTES_MAX - 5000, "some are for the answers"
    assert len(first) <= 10
    german = sum((FOLDER / name).stat().st_size for name in (*first, "de.js"))
    assert german < FIRST_BYTES_MAX - 5000, "in German the rest of the texts comes after the first picture"


def test_all_of_it_stays_within_its_bound() -> None:
    files = [path for path in FOLDER.rglob("*") if path.suffix in TYPES and "LICENSE" not in path.name]
    files = [path for path in files if path.name not in GERMAN]
    assert sum(path.stat().st_size for path in files) <= ALL_BYTES_MAX


def test_every_text_has_a_translation_and_every_translation_a_text() -> None:
    tables = [re.findall(r'"((?:[^"\\\n]|\\.)*)":', SCRIPTS[name]) for name in GERMAN[:2]]
    keys = tables[0] + tables[1]
    assert len(keys) == len(set(keys))
    first = [SCRIPTS[name] for name in loaded_first() if name in SCRIPTS]
    others = [text for name, text in SCRIPTS.items() if name not in GERMAN]
    assert asked(others) - set(keys) == set()
    assert asked(first) - set(tables[0]) == set(), "the first picture would be in two languages"
    assert set(keys) - {word for text in others for word in TEXT.findall(text)} == set()


def asked(scripts: list[str]) -> set[str]:
    """Texts that are said in the page's language."""
    return {word for text in scripts for word in re.findall(r'\bt\(\s*"((?:[^"\\\n]|\\.)*)"', text)}


def test_every_kind_of_refusal_has_a_text() -> None:
    table = SCRIPTS["lib.js"].partition("const REFUSALS = {")[2].partition("}")[0]
    texts = dict(re.findall(r'"?(\w[\w ]*)"?: "([^"]+)"', table))
    assert set(texts) == set(STATUS_OF)
    assert all(f'"{text}":' in SCRIPTS["de.js"] for text in texts.values())
