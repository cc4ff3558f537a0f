"""Mirrors that go wrong while a download runs: it ends right, and soon, as long as one honest mirror is left."""

from __future__ import annotations

import pytest

from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

CONTENT = Content(3_000_000, seed=61)
HONEST = Character(rate_bytes_s=3e6)

BAD = {
    "stalling": Character(rate_bytes_s=3e6, stall_after_bytes=300_000),
    "dropping": Character(rate_bytes_s=3e6, drop_every_bytes=200_000),
    "dying": Character(rate_bytes_s=3e6, die_after_bytes=300_000),
    "busy": Character(rate_bytes_s=3e6, busy_share=0.5),
    "refusing_offsets": Character(rate_bytes_s=3e6, refuse_offsets=True),
    "without_ranges": Character(rate_bytes_s=3e6, ranges=False),
    "short": Character(rate_bytes_s=3e6, short_body=250_000),
    "crawling": Character(rate_bytes_s=2048),
    "silent": Character(silent=True),
    "late": Character(rate_bytes_s=3e6, latency_s=1.0),
}


QUICK = ("stalling", "dropping", "without_ranges", "silent")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in BAD]
)
def test_one_bad_mirror_beside_an_honest_one_costs_little(shoal: Shoal, name: str) -> None:
    with mirrors({"honest": HONEST, name: BAD[name]}, CONTENT) as box:
        done = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", "64K")
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert sum(done.given.values()) == CONTENT.size
    # The honest one alone needs a second. Any wait for a timeout of the program (10 s and more) would show.
    assert done.ended["seconds"] < 8, done.ended
    assert shoal.files == ["file.bin"]


def test_all_bad_mirrors_together_cannot_stop_an_honest_one(shoal: Shoal) -> None:
    with mirrors({"honest": HONEST, **BAD}, CONTENT) as box:
        done = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", "64K")
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert done.ended["seconds"] < 10, done.ended


@pytest.mark.long
@pytest.mark.parametrize("name", ["dropping", "busy", "refusing_offsets", "without_ranges", "short"])
def test_a_bad_mirror_that_can_deliver_does_so_alone(shoal: Shoal, name: str) -> None:
    with mirrors({name: BAD[name]}, CONTENT) as box:
        done = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", "64K")
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")


@pytest.mark.long
def test_two_mirrors_that_drop_share_the_work(shoal: Shoal) -> None:
    dropping = Character(rate_bytes_s=3e6, drop_every_bytes=300_000)
    with mirrors({"a": dropping, "b": dropping}, CONTENT) as box:
        done = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", "64K")
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert all(count > 0 for count in done.given.values())


@pytest.mark.long
def test_a_file_that_changes_under_way_is_not_mixed(shoal: Shoal) -> None:
    changed = Content(CONTENT.size, seed=62)
    with mirrors({"a": Character(rate_bytes_s=500_000, drop_every_bytes=400_000)}, CONTENT) as box:
        running = shoal.begun(*box.urls, "-o", "file.bin", "--chunk-size", "32K")
        running.until_stored(3)
        box.change_content(changed)
        done = running.finish()
    assert done.code == 0, done
    assert any("another version" in event["text"] for event in done.events if event["event"] == "note")
    assert changed.matches(shoal.folder / "file.bin"), "it is fetched from the start"


def test_mirrors_with_other_bytes_are_found_out_where_they_overlap(shoal: Shoal) -> None:
    with mirrors({"a": Character(), "b": Character(other_content=True)}, Content(400_000)) as box:
        done = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", "16K", "--mode", "race")
        checked = shoal.get(
            *box.urls, "-o", "sum.bin", "--chunk-size", "16K", "--checksum", f"sha256:{Content(400_000).sha256}"
        )
    if done.code == 0:  # one was quick enough to finish before the other sent a byte
        assert sum(count > 0 for count in done.given.values()) == 1
    else:
        assert done.code == 4, done
    assert checked.code == 0 or "checksum differs" in checked.ended["reason"] or "disagree" in checked.ended["reason"]


@pytest.mark.long
def test_a_mirror_that_returns_is_used_again(shoal: Shoal) -> None:
    with mirrors({"a": Character(rate_bytes_s=300_000), "b": Character(status=503)}, CONTENT) as box:
        running = shoal.begun(*box.urls, "-o", "file.bin", "--chunk-size", "32K")
        running.until_stored(3)
        box.become("b", Character())
        done = running.finish()
        assert done.code == 0
        assert done.given[box.url("b")] > CONTENT.size / 3
    assert CONTENT.matches(shoal.folder / "file.bin")


@pytest.mark.long
def test_a_reader_that_leaves_does_not_end_the_download(shoal: Shoal) -> None:
    import os

    reading, writing = os.pipe()
    os.close(reading)
    with mirrors({"a": HONEST}, CONTENT) as box, os.fdopen(writing, "wb") as closed_pipe:
        done = shoal.start("get", *box.urls, "-o", "file.bin", "--json", stdout=closed_pipe).finish()
    assert (done.code, done.stderr) == (0, "")
    assert CONTENT.matches(shoal.folder / "file.bin")
