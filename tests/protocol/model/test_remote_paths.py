"""Remote paths: search terms, folder addresses, the files of a folder in order and where they go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.model import remote_paths
from protocol.model.remote_paths import FolderHit, best_folder, folder_files, folder_of_url, local_folder


@pytest.mark.parametrize(
    ("path", "term"),
    [
        ("m\\Artist\\Album\\01 - Some Song.flac", "some song"),
        ("m\\Artist - Album (2001) [FLAC]\\03 - Tide.flac", "artist album tide"),
        ("m\\Box (2022)\\Box Quartet - Tide Tide.mp3", "box quartet tide"),
        ("m\\Ünder\\Ærø - Don't Stop_now.ogg", "ærø don t stop now"),
        ("m\\Artist\\Album\\01 - Track 1.flac", "album track 1"),
        ("m\\A\\1979 in Berlin.flac", "1979 in berlin"),
        ("01.flac", "01"),
        ("...", ""),
        ("m\\-excluded\\-not this.mp3", "not this"),
    ],
)
def test_others_with_the_file_are_searched_for_by_the_words_of_its_name(path: str, term: str) -> None:
    assert remote_paths.search_term(path) == term


@given(st.text(max_size=400))
def test_a_search_term_is_always_one_that_the_network_takes(path: str) -> None:
    term = remote_paths.search_term(path)
    assert len(term.split()) <= remote_paths.SEARCH_WORDS_MAX
    assert not any(word.startswith("-") or word.startswith("*") for word in term.split())
    assert "\x00" not in term


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("slsk://ann/music/tide/", ("ann", "music/tide")),
        ("slsk://ann/music%5Ctide%5C", ("ann", "music\\tide")),
        ("SLSK://a%40n/m/", ("a@n", "m")),
        ("slsk://ann/music/tide.flac", None),
        ("https://ann/music/", None),
    ],
)
def test_an_address_that_ends_in_a_slash_is_a_folder(url: str, found: tuple[str, str] | None) -> None:
    assert folder_of_url(url) == found


@pytest.mark.parametrize("url", ["slsk:///m/", "slsk://ann/", "slsk://ann//", "slsk://ann/%00/", "slsk://ann/%5C"])
def test_an_address_without_user_or_folder_is_refused_with_words(url: str) -> None:
    with pytest.raises(ValueError, match="slsk"):
        folder_of_url(url)


def test_files_of_a_folder_come_by_the_numbers_in_their_names_and_those_below_it_last() -> None:
    listed = {
        "m\\tide\\CD 10": [("1 x.flac", 5)],
        "m\\tide\\CD 2": [("1 y.flac", 4)],
        "m\\tide": [("10 c.flac", 3), ("2 b.flac", 2), ("1 A.flac", 1)],
        "m\\tides": [("no.flac", 9)],
        "m": [("no.flac", 9)],
    }
    flat = [(file.path, file.size_bytes) for file in folder_files(listed, "m/tide\\")]
    assert flat == [("m\\tide\\1 A.flac", 1), ("m\\tide\\2 b.flac", 2), ("m\\tide\\10 c.flac", 3)]
    deep = folder_files(listed, "m\\tide", recursive=True)
    assert [(file.place, file.name) for file in deep[3:]] == [("CD 2", "1 y.flac"), ("CD 10", "1 x.flac")]


@given(st.dictionaries(st.text(max_size=30), st.lists(st.tuples(st.text(min_size=1, max_size=30), st.just(1)))))
def test_no_file_of_a_hostile_list_goes_outside_of_the_folder(listed: dict[str, list[tuple[str, int]]]) -> None:
    for file in folder_files({f"m\\{path}": files for path, files in listed.items()}, "m", recursive=True):
        parts = [*file.place.split("/"), file.name]
        assert ".." not in parts
        assert not file.place.startswith("/")
        assert "/" not in file.name
        assert file.name


@pytest.mark.parametrize(("remote", "name"), [("m\\Tide (2001)\\", "Tide (2001)"), ("..", ""), ("a/b", "b")])
def test_the_local_folder_has_the_name_of_the_remote_one(remote: str, name: str) -> None:
    assert local_folder(remote) == name


def hit(user: str, path: str, size: int = 1, *, free: bool = True, speed: int = 0) -> FolderHit:
    return FolderHit(user, path, size, free, speed)


def test_the_folder_is_taken_whose_files_most_users_have() -> None:
    shared = [
        hit(user, f"{user}\\tide\\{name}", len(name)) for user in ("ann", "bob") for name in ("1.flac", "02.flac")
    ]
    alone = [hit("eve", f"e\\tide live\\{number}.flac", 99) for number in range(3)]
    assert best_folder([*alone, *shared, hit("cid", "loose.flac", 6)]) == ("bob", "bob\\tide")
    assert best_folder([*alone, shared[0]._replace(free=False), hit("ann", "ann\\tide\\02.flac", 7), *shared[2:]]) == (
        "bob",
        "bob\\tide",
    )


def test_among_equal_folders_who_would_send_at_once_and_fastest_is_taken() -> None:
    one, two = hit("ann", "a\\t\\x", free=False, speed=9), hit("bob", "b\\t\\x", speed=1)
    assert best_folder([one, two]) == ("bob", "b\\t")
    assert best_folder([two, hit("cid", "c\\t\\x", speed=5)]) == ("cid", "c\\t")
    assert best_folder([]) is None
