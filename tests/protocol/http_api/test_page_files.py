"""Files of the page as they lie there: how large they are, and whether the other language has every text."""

import re

from protocol.http_api.page_files import FOLDER, TYPES

FIRST_BYTES_MAX = 100_000
ALL_BYTES_MAX = 185_000
"""Without the licences of what is vendored. All views, readable: nothing is built."""
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


def test_all_of_it_stays_within_its_bound() -> None:
    files = [path for path in FOLDER.rglob("*") if path.suffix in TYPES and "LICENSE" not in path.name]
    assert sum(path.stat().st_size for path in files) <= ALL_BYTES_MAX


def test_every_text_has_a_translation_and_every_translation_a_text() -> None:
    keys = re.findall(r'"((?:[^"\\\n]|\\.)*)":', SCRIPTS["de.js"])
    assert len(keys) == len(set(keys))
    others = [text for name, text in SCRIPTS.items() if name != "de.js"]
    asked = {word for text in others for word in re.findall(r'\bt\(\s*"((?:[^"\\\n]|\\.)*)"', text)}
    assert asked - set(keys) == set()
    assert set(keys) - {word for text in others for word in TEXT.findall(text)} == set()
