"""Search hits of strangers become targets; nonsense does not."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import SearchHit
from protocol.model.file_matches import (
    CANDIDATES_MAX,
    TARGETS_MAX,
    FileMatches,
    candidates,
    extension_of,
    name_key,
    sensible,
)
from protocol.model.filenames import base_name


def hit(
    peer: str = "ann",
    path: str = "music\\A\\song.flac",
    *,
    size: int = 1000,
    free: bool = True,
    speed: int = 0,
    queue: int = 0,
    locked: bool = False,
    **attributes: int,
) -> SearchHit:
    return SearchHit(
        search=1,
        peer=peer,
        path=path,
        size_bytes=size,
        slots_free=free,
        speed_bytes_s=speed,
        queue_length=queue,
        locked=locked,
        **attributes,
    )


def found(*hits: SearchHit) -> list[list[str]]:
    """Peers of each target."""
    targets = FileMatches()
    for each in hits:
        assert targets.add(each)
    return [sorted(target.hits) for target in targets.best()]


def test_the_same_size_extension_and_name_are_one_target_whatever_the_folder() -> None:
    targets = FileMatches()
    for each in (hit("ann"), hit("bob", "x\\Song.FLAC"), hit("cid", "song.mp3"), hit("dan", size=1001)):
        assert targets.add(each)
    assert [(t.size_bytes, t.extension, sorted(t.hits)) for t in targets.best()] == [
        (1000, "flac", ["ann", "bob"]),
        (1001, "flac", ["dan"]),
        (1000, "mp3", ["cid"]),
    ]
    assert [t.size_bytes for t in targets.best(size_bytes=1001)] == [1001]


def test_a_peer_counts_once_for_a_target() -> None:
    targets = FileMatches()
    for path in ("a\\song.flac", "b\\song.flac"):
        targets.add(hit(path=path))
    assert len(targets.best()[0].hits) == 1


def test_those_who_would_send_soonest_come_first() -> None:
    targets = FileMatches()
    for each in (
        hit("queued", free=False, queue=3),
        hit("slow", speed=10),
        hit("fast", speed=1000),
        hit("long", free=False, queue=30, speed=9999),
    ):
        targets.add(each)
    assert [each.peer for each in targets.best()[0].ranked()] == ["fast", "slow", "queued", "long"]


def test_only_a_bounded_number_become_candidates_and_none_twice() -> None:
    targets = FileMatches()
    for number in range(50):
        targets.add(hit(f"peer{number:02}"))
    target = targets.best()[0]
    first = [each.peer for each in candidates(target, [])]
    assert len(first) == CANDIDATES_MAX
    rest = [each.peer for each in candidates(target, first, room=3)]
    assert len(rest) == 3
    assert not set(rest) & set(first)
    assert {each.peer for each in candidates(target, first[:15])}.isdisjoint(first[:15])


def test_nonsense_is_refused_and_counted() -> None:
    targets = FileMatches()
    bad = [
        hit(size=0),
        hit(size=2**64 - 1),
        hit(path="a\\b\x00.flac"),
        hit(path=""),
        hit(path="folder\\"),
        hit(path="x" * 5000),
        hit(peer=""),
        hit(peer="a\nb"),
        hit(queue=-1),
        hit(locked=True),
    ]
    assert not any(targets.add(each) for each in bad)
    assert targets.refused == len(bad)
    assert targets.best() == []


@given(st.text(max_size=30), st.text(max_size=60), st.integers(-(2**63), 2**63))
def test_whatever_strangers_send_is_sorted_or_refused(peer: str, path: str, size: int) -> None:
    targets = FileMatches()
    each = hit(peer, path, size=size)
    assert targets.add(each) == sensible(each)


@given(st.text(max_size=60))
def test_a_base_name_has_no_separator(path: str) -> None:
    assert not set(base_name(path)) & {"\\", "/"}
    assert "." not in extension_of(path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann - Tide.flac", "tide_ann.FLAC"),
        ("01 - Tide.flac", "1. Tide.flac"),
        ("(Europe) Game [!].rom", "game, europe.rom"),
        ("Café Olé.mp3", "CAFE OLE.mp3"),
        ("Cafe\u0301.mp3", "Caf\u00e9.mp3"),
        ("Straße.mp3", "STRASSE.mp3"),
        ("Don't Stop.mp3", "Dont Stop.mp3"),
        ("Don\u2019t Stop.mp3", "Don't Stop.mp3"),
        ("Rock 'n' Roll.mp3", "rock_n_roll.mp3"),
        ("Simon & Paul.mp3", "Simon and Paul.mp3"),
        ("A ft. B.mp3", "A (featuring B).mp3"),
        ("\uff34\uff49\uff44\uff45.mp3", "Tide.mp3"),
        ("s01e02.mkv", "S1E02.mkv"),
        ("Show 1x02.mkv", "show.1x02.mkv"),
        ("Tide (2019).1080p.x264.mkv", "tide.2019.1080p.x264.mkv"),
        ("Help!.mp3", "help.mp3"),
        ("が.mp3", "か\u3099.mp3"),
        ("old\\Tide.flac", "new/Tide.flac"),
        ("album\\01.flac", "Album/1.flac"),
        ("disc-1-02 tide.flac", "Disc 1 - 02 - Tide.flac"),
        ("a.tar.gz", "A tar.gz"),
        ("!!!.mp3", "x\\!!!.mp3"),
    ],
)
def test_names_of_the_same_words_are_one_file(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("game (europe).rom", "game (usa).rom"),
        ("game (europe).rom", "game (beta).rom"),
        ("game.rom", "game (beta).rom"),
        ("game (europe).rom", "game (europe, usa).rom"),
        ("01 tide.flac", "02 tide.flac"),
        ("01 tide.flac", "tide.flac"),  # the number is perhaps the title's: 99 Luftballons
        ("tide v1.2.iso", "tide v2.1.iso"),
        ("tide 1.2.iso", "tide 2.1.iso"),
        ("tide 1.1.iso", "tide 1.01.iso"),
        ("tide 12.iso", "tide 1 2.iso"),
        ("disc 1 track 2.flac", "disc 2 track 1.flac"),
        ("s01e02.mkv", "s02e01.mkv"),
        ("tide (live).flac", "tide.flac"),
        ("tide (1).flac", "tide.flac"),
        ("part ii.pdf", "part i.pdf"),
        ("side a.flac", "side b.flac"),
        ("F# minor.mid", "F minor.mid"),
        ("C++.pdf", "C.pdf"),
        ("が.mp3", "か.mp3"),
        ("й.mp3", "и.mp3"),
        ("?!.mp3", "!!.mp3"),
        ("tide \U0001f1f8\U0001f1ea.mp3", "tide \U0001f1ea\U0001f1f8.mp3"),  # flags: Sweden, Spain
        ("tide \U0001f1ea\U0001f1fa.mp3", "tide.mp3"),
        ("tide \u2640.mp3", "tide \u2642.mp3"),
        ("tide tide.flac", "tide.flac"),
        ("A\\01.flac", "B\\01.flac"),
        ("A\\Track 01.flac", "B\\Track 01.flac"),
        ("A\\cover.jpg", "B\\cover.jpg"),
    ],
)
def test_a_word_that_only_one_name_has_makes_it_another_file(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


def test_three_regions_of_one_size_are_three_targets_and_all_are_listed() -> None:
    names = [f"g\\game ({region}).rom" for region in ("europe", "usa", "beta")]
    assert found(*(hit(peer, name) for peer in ("ann", "bob") for name in names)) == [["ann", "bob"]] * 3


def test_what_both_tell_of_the_sound_must_be_equal() -> None:
    assert found(
        hit("ann", duration_s=200, sample_rate_hz=44100),
        hit("bob", duration_s=201),
        hit("cid", sample_rate_hz=48000),
        hit("dan", duration_s=190),
        hit("eve"),
    ) == [["ann", "bob", "eve"], ["cid", "dan"]]
    assert found(hit("ann", bit_rate_kbit_s=192), hit("bob", bit_rate_kbit_s=320)) == [["ann"], ["bob"]]
    assert found(hit("ann", bit_depth=16), hit("bob", bit_depth=24)) == [["ann"], ["bob"]]


def test_the_mean_of_a_varying_bit_rate_is_no_difference() -> None:
    varying = [hit(peer, bit_rate_kbit_s=rate, variable_rate=1) for peer, rate in (("ann", 245), ("bob", 256))]
    assert found(*varying) == [["ann", "bob"]]


def test_rounding_does_not_add_up_over_many_hits() -> None:
    assert found(*(hit(f"u{length}", duration_s=length) for length in (200, 201, 202))) == [["u200", "u201"], ["u202"]]


def test_how_sure_it_is() -> None:
    targets = FileMatches()
    for each in (hit("ann", "a.flac"), hit("ann", "b.flac"), hit("bob", "b.flac"), hit("ann", "c.flac", duration_s=9)):
        targets.add(each)
    targets.add(hit("bob", "c.flac", duration_s=9))
    targets.add(hit("cid", "c.flac"))
    assert {target.name: (target.sureness, target.agreeing) for target in targets.best()} == {
        "a.flac": ("single", 0),
        "b.flac": ("names", 0),
        "c.flac": ("attributes", 2),
    }


def test_only_files_called_like_the_wanted_one_are_found_the_wanted_one_first() -> None:
    targets = FileMatches()
    for each in (
        hit("ann", "m\\tide (usa).flac", duration_s=9),
        hit("bob", "tide usa.flac", duration_s=5),
        hit("cid", "tide usa.flac", duration_s=5),
        hit("dan", "tide europe.flac"),
    ):
        targets.add(each)
    best = targets.best(like=["m\\tide (usa).flac"])
    assert [sorted(target.hits) for target in best] == [["ann"], ["bob", "cid"]]


def test_the_number_of_targets_is_bounded() -> None:
    targets = FileMatches()
    added = [targets.add(hit(path=f"song {number}.flac")) for number in range(TARGETS_MAX + 10)]
    assert sum(added) == TARGETS_MAX
    assert targets.refused == 10
    assert targets.add(hit("bob", "song 7.flac")), "there is room in those that are known"


@given(st.text(max_size=40), st.randoms())
def test_a_name_equals_itself_in_any_order_of_its_words(name: str, chance: random.Random) -> None:
    assert name_key(name) == name_key(name)
    words = ["ann", "tide", "live", "café"]
    chance.shuffle(words)
    assert name_key(" - ".join(words) + ".mp3") == name_key("Ann Tide (Live) [Café].mp3")
