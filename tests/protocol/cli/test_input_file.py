"""Lists of files: both forms, their options, and that every mistake names its line before anything is fetched."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from protocol.cli.commands.input_file import read_list
from protocol.cli.parsing import GetOptions
from protocol.model.errors import BadUsage
from tests.protocol.cli.test_app import Recorder, run

SHA = "a" * 64


def words(text: str) -> list[list[str]]:
    return [entry.words for entry in read_list(text, "list")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a/x\n", [["--", "http://a/x"]]),
        ("http://a/x http://b/x\thttp://c/x -o 'a b' --limit 2M\n",
         [["-o", "a b", "--limit", "2M", "--", "http://a/x", "http://b/x", "http://c/x"]]),
        ("# a\n\nhttp://a/x\n   \n  # b\n  --limit 1M\nhttp://b/y\n",
         [["--limit", "1M", "--", "http://a/x"], ["--", "http://b/y"]]),
        ("slsk://ann/a\\'b -o c\n", [["-o", "c", "--", "slsk://ann/a\\'b"]]),
        ("http://a/x\n  dir=/d\n  out=n\n", [["-o", "/d/n", "--", "http://a/x"]]),
        ("http://a/x\n  dir=/d\n", [["-o", "/d/", "--", "http://a/x"]]),
        ("http://a/x\n  out=n\n", [["-o", "n", "--", "http://a/x"]]),
        (f"http://a/x\n\tchecksum=sha-256={SHA}\n  header=X: y\n  split=5\n  max-connection-per-server=2\n",
         [["--checksum", f"sha256:{SHA}", "--header", "X: y", "--connections", "2", "--", "http://a/x"]]),
        ("http://a/x\n  dry-run=false\n  retry-wait=5\n  connect-timeout=9\n  conditional-get=true\n", [["--", "http://a/x"]]),
        ("http://a/x\n  max-tries=0\n  timeout=600\n  max-connection-per-server=64\n  lowest-speed-limit=1K\n",
         [["--retries", "1000", "--timeout", "120", "--connections", "16", "--slow-rate", "1K", "--", "http://a/x"]]),
        ("http://a/x\n  allow-overwrite=true\n  auto-file-renaming=false\n",
         [["--existing", "overwrite", "--", "http://a/x"]]),
        ("http://a/x\n  auto-file-renaming=false\n  allow-overwrite=false\n", [["--existing", "skip", "--", "http://a/x"]]),
        ("http://a/x\n  no-netrc=true\n  disable-ipv6=true\n  http-user=u@\n  http-passwd=p:/\n",
         [["--no-netrc", "--ipv4", "--", "http://u%40:p%3A%2F@a/x"]]),
        ("", []),
        ("\ufeff# only a comment", []),
    ],
)  # fmt: skip
def test_both_forms_are_understood(text: str, expected: list[list[str]]) -> None:
    assert words(text.removeprefix("\ufeff")) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n  out=x\nhttp://a/x\n", "list:2: an option before the first address"),
        ("http://a/x\n  out\n", "list:2: an option is written --name value, or name=value"),
        ("http://a/x\n  bt-tracker=x\n", "list:2: the option 'bt-tracker' of aria2 has no like here"),
        ("http://a/x\n  dry-run=true\n", "list:2: the option 'dry-run' of aria2 has no like here"),
        ("http://a/x\n  max-tries=x\n", "list:2: 'x' is not a number"),
        ("http://a/x -o 'x\n", "list:1: a quote is not closed"),
    ],
)
def test_what_is_not_understood_names_its_line(text: str, line: str) -> None:
    with pytest.raises(BadUsage, match=f"^{line}$"):
        read_list(text, "list")


def listed(tmp_path: Path, text: str, *more: str, code: int = 0) -> tuple[Any, Recorder]:
    (tmp_path / "list").write_text(text)
    return run("get", "-i", str(tmp_path / "list"), *more, code=code)


def test_options_of_the_command_hold_where_a_line_has_none_of_its_own(tmp_path: Path) -> None:
    text = "http://a/x --limit 1M --checksum md5:" + "0" * 32 + "\nhttp://b/y -H 'B: 2' -o n\nhttp://c/z\n"
    result, recorder = listed(tmp_path, text, "--limit", "2M", "-H", "A: 1", "-o", f"{tmp_path}/", "--quiet")
    assert result.exit_code == 0, result.output
    first, second, third = recorder.asked
    assert isinstance(first, GetOptions)
    assert isinstance(second, GetOptions)
    assert isinstance(third, GetOptions)
    assert [one.spec.limit_bytes_s for one in (first, second, third)] == [1 << 20, 2 << 20, 2 << 20]
    assert [one.spec.http.headers for one in (first, second, third)] == [("A: 1",), ("B: 2",), ("A: 1",)]
    assert [one.spec.name for one in (first, second, third)] == ["", "n", ""]
    assert first.spec.folder == third.spec.folder == str(tmp_path)
    assert (first.spec.checksum, second.spec.checksum) == ("md5:" + "0" * 32, "")
    assert all(one.quiet for one in (first, second, third))
    assert [one.urls for one in (first, second, third)] == [("http://a/x",), ("http://b/y",), ("http://c/z",)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://a/x\nftp://b/y\n", "list:2: ftp:// is not supported"),
        ("http://a/x\nhttp://b/y --limit fast\n", "list:2: --limit: 'fast' is not a rate"),
        ("http://a/x\nhttp://b/y --colour\n", "list:2: No such option: --colour"),
        ("http://a/x\nhttp://b/y -i other\n", "list:2: -i: a list cannot name another one"),
        ("http://a/x\n\n--json\n", "list:3: get needs at least one address"),
        ("http://a/x\n  checksum=adler32=00\n", "list:1: --checksum 'adler32:00': write it as"),
        ("# nothing\n", "there is no address in it"),
    ],
)
def test_nothing_is_fetched_while_a_line_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    result, recorder = listed(tmp_path, text)
    assert (result.exit_code, recorder.asked) == (2, [])
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_list_may_come_from_stdin_and_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"http://a/x\nhttp://b/y\n")))
    result = run("get", "-i", "/no/list")[0]
    assert (result.exit_code, result.stderr) == (2, "error: -i /no/list: cannot be read: No such file or directory\n")
    assert "beside it" in run("get", "http://a/x", "-i", "/no/list")[0].stderr


def test_the_code_is_that_of_the_first_file_that_failed(tmp_path: Path) -> None:
    assert listed(tmp_path, "http://a/x\nhttp://b/y\n", code=3)[0].exit_code == 3
    result, recorder = listed(tmp_path, "http://a/x\nhttp://b/y\n", code=130)
    assert (result.exit_code, len(recorder.asked)) == (130, 1), "an interrupt ends the list"


def test_the_folders_of_a_list_are_made_as_aria2_makes_them(tmp_path: Path) -> None:
    _, recorder = listed(
        tmp_path, f"http://a/x\n  dir={tmp_path}/new/deep\n  out=sub/n\nhttp://b/y -o {tmp_path}/not/n\n"
    )
    first, second = recorder.asked
    assert isinstance(first, GetOptions)
    assert isinstance(second, GetOptions)
    assert (first.spec.folder, first.spec.name) == (f"{tmp_path}/new/deep/sub", "n")
    assert (tmp_path / "new/deep/sub").is_dir()
    assert not (tmp_path / "not").exists()
