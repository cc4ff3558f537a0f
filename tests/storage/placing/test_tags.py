"""Tags of a finished file as an output template wants them."""

from pathlib import Path

import pytest
from mutagen import flac as tagging

from protocol.model.placing.output_template import VALUE_CHARS_MAX
from storage.placing.tags import read_tags
from tests.storage.containers import writers


def tagged(folder: Path, **tags: str | list[str]) -> str:
    path = folder / "a.flac"
    path.write_bytes(writers.flac(writers.audio(0.1, 1), padding=4096))
    song = tagging.FLAC(path)  # type: ignore[no-untyped-call]
    song.update(tags)  # type: ignore[no-untyped-call]
    song.save()
    return str(path)


def test_each_tag_has_its_name(tmp_path: Path) -> None:
    words = {"artist": "Ann", "albumartist": "All", "album": "Tides", "title": "Ebb", "genre": "Sea"}
    found = read_tags(tagged(tmp_path, **words, tracknumber="3/12", discnumber="1/2", date="2019-05-01"))
    assert found == {**words, "track": "03", "disc": "1", "year": "2019"}


@pytest.mark.parametrize(
    ("key", "value", "name", "read"),
    [
        ("tracknumber", "7", "track", "07"),
        ("tracknumber", "007", "track", "07"),
        ("tracknumber", "12", "track", "12"),
        ("tracknumber", " 123 / 200", "track", "123"),
        ("tracknumber", "A1/9", "track", "A1"),
        ("tracknumber", "0", "track", "00"),
        ("discnumber", "0", "disc", "0"),
        ("discnumber", "02/10", "disc", "2"),
        ("discnumber", "11", "disc", "11"),
        ("date", " 1999 ", "year", "1999"),
        ("date", "19990501", "year", "1999"),
        ("date", "199", "year", ""),
        ("date", "in 1999", "year", ""),
        ("artist", ["First", "Second"], "artist", "First"),
        ("title", "x" * (VALUE_CHARS_MAX + 1), "title", "x" * VALUE_CHARS_MAX),
        ("comment", "no field", "title", ""),
    ],
)
def test_numbers_lose_their_totals_and_a_date_is_its_year(
    tmp_path: Path, key: str, value: str | list[str], name: str, read: str
) -> None:
    assert read_tags(tagged(tmp_path, **{key: value})) == ({name: read} if read else {})


@pytest.mark.parametrize("data", [b"", b"plain text", b"fLaC" + bytes(40)])
def test_a_file_without_tags_or_of_another_kind_has_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.flac").write_bytes(data)
    assert read_tags(str(tmp_path / "a.flac")) == {}
    assert read_tags(str(tmp_path / "missing.flac")) == {}
