"""The page's files as they are served, and what can be said of them without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol.http_api.page_files import FOLDER, POLICY, TYPES
from tests.protocol.http_api.serving import open_settings, serving

FILES = sorted(path for path in FOLDER.rglob("*") if path.suffix in TYPES)
OURS = [path for path in FILES if "vendor" not in path.parts]
FIRST_PAINT = (
    *("index.html", "style.css", "icon.svg", "app.js", "lib.js", "ui.js", "jobs.js"),
    *("vendor/preact.mjs", "vendor/hooks.mjs", "vendor/htm.mjs"),
)


def test_the_page_is_served_to_everybody_with_its_policy_and_is_not_sent_twice() -> None:
    with serving(settings=open_settings(authentication=True)) as api:
        for path in ("/", "/docs", *(f"/page/{file.relative_to(FOLDER).as_posix()}" for file in FILES)):
            answer = api.client.get(path)
            assert answer.status_code == 200, path
            assert answer.headers["Content-Security-Policy"] == POLICY
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            again = api.client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b"")
        assert api.client.get("/").headers["Content-Type"] == "text/html; charset=utf-8"
        assert api.client.get("/page/app.js").headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/page/none.js", "/page/../page_files.py", "/page/%2e%2e/app.py", "/page/", "/pages"])
def test_nothing_else_is_served(path: str) -> None:
    with serving(settings=open_settings(authentication=True)) as api:
        assert api.client.get(path).status_code in (401, 404)


def test_the_page_below_a_proxys_path_finds_its_files() -> None:
    with serving(settings=open_settings(url_base="/shoal")) as api:
        page = api.client.get("/shoal/").text
        found = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert found
        assert all(api.client.get(path).status_code == 200 for path in found)
        assert "{{" not in page


def test_the_policy_forbids_what_the_page_does_not_need() -> None:
    for word in ("default-src 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'", "base-uri 'none'"):
        assert word in POLICY
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


@pytest.mark.parametrize(
    "path", [path for path in OURS if path.suffix in (".js", ".html", ".css")], ids=lambda p: p.name
)
def test_nothing_is_loaded_from_elsewhere_and_no_markup_is_made_of_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href|import|from|fetch|url)\W{1,3}(?:https?:)?//", text)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySet|\beval\(|new Function", text
    )
    assert not re.search(r"<[a-z]+[^>`$]*\s(?:style|on[a-z]+)=[\"']", text)


def test_what_is_loaded_first_is_small() -> None:
    assert sum((FOLDER / name).stat().st_size for name in FIRST_PAINT) <= 100_000


def test_every_text_is_in_the_other_language_too() -> None:
    german = (FOLDER / "de.js").read_text(encoding="utf-8")
    keys = set(re.findall(r'"((?:[^"\\]|\\.)*)": "', german))
    for path in OURS:
        if path.suffix == ".js" and path.name != "de.js":
            said = set(re.findall(r'\bt\(\s*"((?:[^"\\]|\\.)*)"', path.read_text(encoding="utf-8")))
            assert said <= keys, f"{path.name}: {said - keys}"
