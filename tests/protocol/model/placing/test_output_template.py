"""Output templates: fields, fallbacks, and that no value leads anywhere else."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.model.filenames import FOLDER_BYTES_MAX, NAME_BYTES_MAX
from protocol.model.placing.output_template import (
    FIELDS,
    check_folder_mode,
    check_mode,
    check_template,
    kind_of,
    placed,
)

TEMPLATE = "{artist}/{album}/{track} {title}{ext}"
TAGS = {"artist": "Quartet", "album": "Tides", "track": "03", "title": "Ebb", "ext": ".flac", "name": "03 - ebb"}


def test_tags_make_the_path() -> None:
    assert placed(TEMPLATE, TAGS, "03 - ebb.flac") == ("Quartet", "Tides", "03 Ebb.flac")


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, ("Unknown artist", "Unknown album", "x.flac")),
        ({"user": "ann", "folder": "Live"}, ("ann", "Live", "x.flac")),
        ({"host": "h.example", "albumartist": "Various"}, ("Various", "Unknown album", "x.flac")),
        ({"track": "07"}, ("Unknown artist", "Unknown album", "07 x.flac")),
        ({"artist": "  ", "title": "..."}, ("Unknown artist", "Unknown album", "x.flac")),
    ],
)
def test_what_lacks_has_its_fallback(values: dict[str, str], path: tuple[str, ...]) -> None:
    assert placed(TEMPLATE, {"name": "x", "ext": ".flac", **values}, "x.flac") == path


def test_a_part_without_a_value_is_left_out_and_words_stay() -> None:
    assert placed("music/{genre}/{year} - {name}{ext}", {"name": "a", "ext": ".b"}, "a.b") == ("music", "a.b")
    assert placed("{{x}}/{name}{ext}", {"name": "a", "ext": ""}, "a") == ("{x}", "a")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("AC/DC", "AC_DC"), ("..", "Unknown artist"), ("../../etc", "etc"), ("a\\b:c", "a_b_c"), (".hidden", "hidden"),
        ("con", "_con"), ("a\nb\x00", "ab"), ("\u202egnp", "gnp"), ("a. .", "a"), ("~", "~"), ("a  \t b", "a b"),
    ],
)  # fmt: skip
def test_a_hostile_value_is_one_plain_part(value: str, shown: str) -> None:
    first, *rest = placed(TEMPLATE, TAGS | {"artist": value}, "x.flac")
    assert first.removeprefix("_") == shown.removeprefix("_")
    assert rest == ["Tides", "03 Ebb.flac"]


@given(st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=600)), st.text(max_size=300))
def test_whatever_the_values_are_the_path_stays_below_its_root(values: dict[str, str], name: str) -> None:
    ext = os.path.splitext("x" + name.replace("\x00", "").replace("/", ""))[1].encode()[:16].decode("utf-8", "ignore")
    parts = placed("{artist} {album}/{user}-{host}/{folder}{genre}/{title}{ext}", values | {"ext": ext}, name)
    assert 1 <= len(parts) <= 4
    for part in parts:
        assert part.strip()
        assert part not in (".", "..")
        assert not set(part) & set("/\\\x00\n")
        assert len(part.encode()) <= FOLDER_BYTES_MAX
    assert not any(part.startswith(".") for part in parts[:-1])
    assert len(parts[-1].encode()) <= NAME_BYTES_MAX


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{artits}/{name}{ext}", "has no field {artits}; there are artist, "),
        ("{artist/{name}{ext}", "has "),
        ("/{name}{ext}", "none of them empty"),
        ("../{name}{ext}", "of dots"),
        ("{artist}//{name}{ext}", "none of them empty"),
        ("{artist}/{name}", "must end with {ext}"),
        ("{artist}/{name}{ext}/", "none of them empty"),
        ("a\n{name}{ext}", "printable"),
        ("{}{ext}", "has no field {}"),
        ("x}{ext}", "has a brace without its other one"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_words(template: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_template(template)
    assert words in str(caught.value)


def test_kinds_and_modes() -> None:
    assert [kind_of(name) for name in ("A.FLAC", "b.mkv", "c.tar.gz", "d", "e.iso")] == [
        "audio", "video", "archive", "other", "disk",
    ]  # fmt: skip
    for good in ("0640", "640", "0600"):
        check_mode(good)
    check_folder_mode("2750")
    for wrong in ("0400", "x", "1640", "", "00640"):
        with pytest.raises(ValueError, match="mode"):
            check_mode(wrong)
