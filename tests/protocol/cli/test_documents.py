"""Metalinks and checksum files on the command line of ``get``."""

import hashlib
from pathlib import Path

import pytest

from protocol.cli.parsing import GetOptions
from protocol.model.errors import NoDocument
from protocol.model.job_spec import HttpOptions
from tests.protocol.cli.test_app import run

SHA256 = hashlib.sha256(b"a").hexdigest()
OTHER = hashlib.sha256(b"b").hexdigest()
V4 = '<metalink xmlns="urn:ietf:params:xml:ns:metalink">{}</metalink>'
FILE = '<file name="{}"><size>7</size><hash type="sha-256">{}</hash><url priority="2">http://b/{}</url><url priority="1">http://a/x</url></file>'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def got(*words: str, documents: dict[str, bytes] | None = None) -> list[GetOptions]:
    def document(url: str, _http: HttpOptions, most: int) -> bytes:
        found = (documents or {})[url]
        assert len(found) <= most
        return found

    result, recorder = run("get", *words, document=document)
    assert result.exit_code == 0, result.output
    return [options for options in recorder.asked if isinstance(options, GetOptions)]


def refused(*words: str, code: int = 2) -> str:
    def document(url: str, _http: HttpOptions, _most: int) -> bytes:
        raise NoDocument("h says 404 Not Found")

    result, recorder = run("get", *words, document=document)
    assert result.exit_code == code, result.output
    assert not recorder.asked
    (line,) = result.stderr.splitlines()
    return line


def test_a_metalink_stands_for_its_file_and_mirrors(folder: Path) -> None:
    (folder / "x.meta4").write_text(V4.format(FILE.format("x.iso", SHA256, "x")))
    (options,) = got("x.meta4")
    assert options.urls == ("http://a/x", "http://b/x")
    spec = options.spec
    assert (spec.folder, spec.name, spec.size_bytes) == (str(folder), "x.iso", 7)
    assert spec.checksum == f"sha256:{SHA256}"


def test_a_metalink_is_known_by_its_content_too_and_may_be_an_address(folder: Path) -> None:
    text = V4.format(FILE.format("x.iso", SHA256, "x"))
    (folder / "download").write_text(text)
    assert got("download")[0].spec.name == "x.iso"
    for url in ("http://m/x.iso.meta4", "http://m/x.iso?meta4"):
        (options,) = got(url, documents={url: text.encode()})
        assert options.urls == ("http://a/x", "http://b/x")


def test_each_file_of_a_metalink_is_a_job(folder: Path) -> None:
    (folder / "all.meta4").write_text(V4.format(FILE.format("x", SHA256, "x") + FILE.format("d/e/y", OTHER, "y")))
    first, second = got("all.meta4")
    assert (first.spec.name, first.spec.checksum) == ("x", f"sha256:{SHA256}")
    assert (second.spec.folder, second.spec.name) == (str(folder / "d" / "e"), "y")
    assert second.spec.checksum == f"sha256:{OTHER}"
    assert (folder / "d" / "e").is_dir()
    (folder / "out").mkdir()
    assert [each.spec.folder for each in got("all.meta4", "-o", "out")] == [
        str(folder / "out"),
        str(folder / "out" / "d" / "e"),
    ]


def test_what_the_user_says_goes_before_the_document(folder: Path) -> None:
    (folder / "x.meta4").write_text(V4.format(FILE.format("x.iso", SHA256, "x")))
    (options,) = got("x.meta4", "http://c/x", "-o", "mine", "--checksum", f"sha256:{OTHER}")
    assert (options.spec.name, options.spec.checksum) == ("mine", f"sha256:{OTHER}")
    assert options.urls == ("http://a/x", "http://b/x", "http://c/x")


def test_a_checksum_file_is_read_by_the_files_name(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text(f"{OTHER}  y.iso\n{SHA256} *x.iso\n")
    assert got("http://a/x.iso", "--checksum-file", "SHA256SUMS")[0].spec.checksum == f"sha256:{SHA256}"
    assert got("http://a/z", "-o", "y.iso", "--checksum-file", "SHA256SUMS")[0].spec.checksum == f"sha256:{OTHER}"
    url = "http://a/SHA256SUMS"
    (options,) = got("http://a/x.iso", "--checksum-file", url, documents={url: f"{SHA256}  x.iso\n".encode()})
    assert options.spec.checksum == f"sha256:{SHA256}"


def test_a_checksum_file_serves_every_file_of_a_metalink(folder: Path) -> None:
    (folder / "all.meta4").write_text(V4.format(FILE.format("x", OTHER, "x") + FILE.format("y", SHA256, "y")))
    (folder / "SHA256SUMS").write_text(f"{SHA256}  x\n{OTHER}  y\n")
    first, second = got("all.meta4", "--checksum-file", "SHA256SUMS")
    assert (first.spec.checksum, second.spec.checksum) == (f"sha256:{SHA256}", f"sha256:{OTHER}")


def test_a_list_of_files_may_name_metalinks(folder: Path) -> None:
    (folder / "x.meta4").write_text(V4.format(FILE.format("x.iso", SHA256, "x")))
    (folder / "list").write_text("x.meta4\nhttp://a/z\n")
    assert [each.urls for each in got("-i", "list")] == [("http://a/x", "http://b/x"), ("http://a/z",)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missing.meta4",), "missing.meta4: cannot be read: No such file"),
        (("bomb.meta4",), "document type"),
        (("evil.meta4",), "leads out of the folder"),
        (("empty.meta4",), "names no mirror that can be used for x"),
        (("page.meta4",), "no Metalink document"),
        (("two.meta4", "http://c/x"), "which one is meant"),
        (("two.meta4", "-o", "name"), "names one file"),
        (("two.meta4", "-o", "-"), "for one file"),
        (("two.meta4", "--checksum", f"sha256:{SHA256}"), "for one file"),
        (("http://a/x", "--checksum-file", "missing"), "missing: cannot be read"),
        (("http://a/x", "--checksum-file", "Sums"), "error: Sums: cannot be read"),
        (("http://a/x", "--checksum-file", "two.meta4"), "no digest of a known algorithm"),
        (("http://a/x", "--checksum-file", "ftp://a/x"), "ftp:// is not supported"),
        (("http://a/x", "--checksum-file", "x", "--checksum", f"sha256:{SHA256}"), "exclude each other"),
    ],
)
def test_what_is_wrong_with_a_document_is_one_line(folder: Path, words: tuple[str, ...], said: str) -> None:
    (folder / "bomb.meta4").write_text('<!DOCTYPE a [<!ENTITY b "c">]><metalink>&b;</metalink>')
    (folder / "evil.meta4").write_text(V4.format(FILE.format("../../x", SHA256, "x")))
    (folder / "empty.meta4").write_text(V4.format('<file name="x"><url>ftp://a/x</url></file>'))
    (folder / "page.meta4").write_text("<html/>")
    (folder / "two.meta4").write_text(V4.format(FILE.format("x", SHA256, "x") + FILE.format("y", OTHER, "y")))
    assert said in refused(*words)


def test_a_document_that_cannot_be_fetched_is_no_mistake_of_the_user() -> None:
    for words in (("http://h/x.meta4",), ("http://a/x", "--checksum-file", "http://h/SUMS")):
        assert "404 Not Found" in refused(*words, code=3)
