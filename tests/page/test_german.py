"""The page in German: the daemon's own sentences too, as the real matching says them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from actors.demo.page import API
from tests.page.conftest import World
from tests.page.test_page import SLOW, expect, expect_state
from tests.protocol.http_api.test_page_sentences import HOLE, TABLE

TRANSLATED = """async (sentences) => {
  const lib = await import('/page/lib.js');
  await lib.words();
  return sentences.map(lib.said); }"""
GONE = {"filename": "gone.bin", "fileSize": None, "sources": [{"url": "http://127.0.0.1:9/gone.bin"}]}


@pytest.fixture
def german(new_page: Any) -> Iterator[Any]:
    """A page in German that is logged in. A message that has no German fails the test."""
    page = new_page(locale="de-DE")
    yield page
    assert page.evaluate("import('/page/lib.js').then((lib) => [...lib.missing])") == []


def filled(text: str) -> str:
    """The sentence with something in each of its holes."""
    return HOLE.sub(lambda hole: str(len(hole[0]) * 7) if hole[0][1] == "n" else f"<{hole[0][1:-1]}>", text)


def test_each_sentence_is_said_by_its_own_pattern(german: Any) -> None:
    english = [filled(key) for key in TABLE]
    shown = german.evaluate(TRANSLATED, english)
    wrong = {key: said for key, said, text in zip(english, shown, TABLE.values(), strict=True) if said != filled(text)}
    assert not wrong


@pytest.mark.parametrize(
    ("english", "german_"),
    [
        (
            "a.example: cooling: a.example says 503 Service Unavailable; tries again in 5 s",
            "a.example: ruht: a.example sagt 503 Service Unavailable; neuer Versuch in 5 s",
        ),
        (
            "waits in the queues of 3 peers (ann: place 3, bob: no place known, and 2 more)",
            "wartet in den Schlangen von 3 Nutzern (ann: Platz 3, bob: Platz unbekannt, und 2 weitere)",
        ),
        (
            "it failed and is tried again in 5.0 s: there is no host nowhere.example",
            "schlug fehl und wird in 5,0 s neu versucht: es gibt keinen Rechner nowhere.example",
        ),
        ("what no version of the daemon ever says", "what no version of the daemon ever says"),
    ],
)
def test_sentences_that_are_put_together_are_said_part_by_part(german: Any, english: str, german_: str) -> None:
    assert german.evaluate(TRANSLATED, [english]) == [german_]


def test_what_is_still_english_in_a_sentence_is_marked_as_english(german: Any) -> None:
    shown = """async (text) => {
      const { h, render } = await import('/page/vendor/preact.mjs');
      const { Said } = await import('/page/ui.js');
      await (await import('/page/lib.js')).words();
      const box = document.createElement('p');
      render(h(Said, { text }), box);
      return [...box.querySelectorAll('bdi')].map((one) => [one.textContent, one.lang]); }"""
    parts = german.evaluate(shown, "a.example: cooling: the reason is unknown; tries again in 5 s")
    assert [text for text, _ in parts] == [
        "a.example",
        ": ",
        "ruht",
        ": ",
        "the reason is unknown",
        "; ",
        "neuer Versuch in 5 s",
    ]
    assert [text for text, lang in parts if lang == "en"] == ["the reason is unknown"]
    assert german.evaluate(shown, "what is never said") == [["what is never said", "en"]]


def test_a_long_hostile_sentence_is_looked_at_in_no_time(german: Any) -> None:
    hostile = ["a; " * 660, " (" * 990, "{a}: , " * 280, "x bytes, then " * 140, "0 of 0 to 0 " * 160]
    assert german.evaluate(TRANSLATED, hostile) == hostile


def test_why_reasons_timeline_and_refusals_are_german(german: Any, world: World) -> None:
    slow = world.swarm(**SLOW)
    id = world.daemon.ask("POST", f"{API}/download", GONE)["id"]
    start = german.url.split("#")[0]
    german.goto(f"{start}#/job/{slow}")
    expect(german.locator(".why")).to_contain_text(re.compile("senden|sendet|Grenze"))
    expect(german.locator(".timeline")).to_contain_text("Nutzer mit 01 - Tide.flac gefunden")
    world.daemon.ask("DELETE", f"{API}/jobs/{slow}/sources?source=0&banned=true")
    expect(german.locator(".sources")).to_contain_text("gesperrt")
    german.goto(f"{start}#/job/{id}")
    expect(german.locator(".why")).to_contain_text("keine Verbindung zu 127.0.0.1:9: Verbindung abgewiesen")
    expect(german.locator(".timeline")).to_contain_text("keine Verbindung zu")
    german.goto(f"{start}#/jobs")
    expect(german.locator(".row").filter(has_text="gone.bin")).to_contain_text("keine Verbindung zu")
    german.get_by_role("button", name="Hinzufügen", exact=True).click()
    german.get_by_label("Adressen, eine je Zeile").fill("http://127.0.0.1:9/a.bin\nhttp://127.0.0.1:9/a.bin")
    german.get_by_role("dialog").get_by_role("button", name="Hinzufügen", exact=True).click()
    expect(german.get_by_role("alert")).to_have_text("dieselbe wie sources.0")
    german.get_by_label("Adressen, eine je Zeile").fill("gopher://127.0.0.1:9/a.bin")
    expect(german.get_by_role("alert")).to_have_text("Keine Adresse: gopher://127.0.0.1:9/a.bin")
    expect(german.get_by_role("dialog").get_by_role("button", name="Hinzufügen", exact=True)).to_be_disabled()
    world.daemon.ask("POST", f"{API}/jobs/{id}/cancel")
    expect_state(world, id, "cancelled")
