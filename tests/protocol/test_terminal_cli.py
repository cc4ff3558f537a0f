"""The command line: what is understood, and that everything else is one line and exit code 2."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from protocol.terminal.cli import Actions, build_app, program_version
from protocol.terminal.exit_codes import MEANINGS
from protocol.terminal.options import HEX_DIGITS, BadUsage, DemoOptions, GetOptions, VerifyOptions, checked_urls

URL = "http://127.0.0.1:8080/file.iso"


@dataclass
class Recorder:
    """Keeps what a command would have done; `code` is what it returns."""

    code: int = 0
    asked: list[GetOptions | VerifyOptions | DemoOptions] = field(default_factory=list)

    def act(self, options: GetOptions | VerifyOptions | DemoOptions) -> int:
        self.asked.append(options)
        return self.code


def run(*words: str, code: int = 0) -> tuple[Result, Recorder]:
    recorder = Recorder(code)
    app = build_app(Actions(get=recorder.act, verify=recorder.act, demo=recorder.act))
    return CliRunner().invoke(app, words), recorder


def got(*words: str) -> GetOptions:
    result, recorder = run("get", *words)
    assert result.exit_code == 0, result.output
    (options,) = recorder.asked
    assert isinstance(options, GetOptions)
    return options


def test_a_bare_get_has_the_documented_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert got(URL) == GetOptions(
        urls=(URL,),
        folder=str(tmp_path),
        name="",
        chunk_size=128 * 1024,
        checksum="",
        mode="swarm",
        limit_bytes_s=0,
        preallocate=False,
        sync="full",
        json=False,
        quiet=False,
        verbose=False,
        slow_rate_bytes_s=5 * 1024,
        slow_after_s=15.0,
    )


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--chunk-size", "4K"], "chunk_size", 4096),
        (["--chunk-size", "1M"], "chunk_size", 1024 * 1024),
        (["--chunk-size", "131072"], "chunk_size", 131072),
        (["--chunk-size", "64KiB"], "chunk_size", 65536),
        (["--chunk-size", "0.5m"], "chunk_size", 512 * 1024),
        (["--limit", "2.5M/s"], "limit_bytes_s", 2621440),
        (["--limit", "500KB/s"], "limit_bytes_s", 512000),
        (["--limit", "0"], "limit_bytes_s", 0),
        (["--slow-rate", "1024"], "slow_rate_bytes_s", 1024),
        (["--slow-after", "1.5"], "slow_after_s", 1.5),
        (["--slow-after", "30s"], "slow_after_s", 30.0),
        (["--mode", "queue"], "mode", "queue"),
        (["--mode", "failover"], "mode", "failover"),
        (["--mode", "race"], "mode", "race"),
        (["--sync", "none"], "sync", "none"),
        (["--preallocate"], "preallocate", True),
        (["--json"], "json", True),
        (["--quiet"], "quiet", True),
        (["--verbose"], "verbose", True),
        (["--checksum", "SHA256:" + "A" * 64], "checksum", "sha256:" + "a" * 64),
        (["http://two/x", "https://three/x"], "urls", (URL, "http://two/x", "https://three/x")),
    ],
)
def test_an_option_is_understood(words: list[str], name: str, value: object) -> None:
    assert getattr(got(URL, *words), name) == value
    assert getattr(got(*words, URL), name) == value or name == "urls"


@pytest.mark.parametrize("algorithm", HEX_DIGITS)
def test_every_known_checksum_is_taken_with_its_own_length_only(algorithm: str) -> None:
    digits = HEX_DIGITS[algorithm]
    assert got(URL, "--checksum", f"{algorithm}:{'0' * digits}").checksum == f"{algorithm}:{'0' * digits}"
    for wrong in (digits - 1, digits + 1, 0):
        result, recorder = run("get", URL, "--checksum", f"{algorithm}:{'0' * wrong}")
        assert (result.exit_code, recorder.asked) == (2, [])


@pytest.mark.parametrize(
    ("output", "folder", "name"),
    [
        ("there", "there", ""),
        ("there/", "there", ""),
        ("missing/", "missing", ""),
        ("new.iso", "", "new.iso"),
        ("there/new.iso", "there", "new.iso"),
        ("missing/new.iso", "missing", "new.iso"),
        (".", "", ""),
        ("/new.iso", "/", "new.iso"),
    ],
)
def test_where_the_file_goes(
    output: str, folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    options = got(URL, "-o", output)
    assert (Path(options.folder), options.name) == (tmp_path / folder, name)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "a command is missing"),
        (["get"], "at least one address"),
        (["gte", URL], "Did you mean 'get'"),
        ([URL], "write: get URL"),
        (["get", ""], "an address is empty"),
        (["get", "-"], "nothing is read from stdin"),
        (["get", "ftp://host/x"], "ftp:// is not supported"),
        (["get", "http:///x"], "no host"),
        (["get", URL, "--colour"], "--colour"),
        (["get", URL, "--json=yes"], "--json"),
        (["get", URL, "-o"], "-o"),
        (["get", URL, "-o", ""], "path is empty"),
        (["get", URL, "-o", "-"], "cannot go to stdout"),
        (["get", URL, "-o", "a\x1bb"], "control characters"),
        (["get", URL, "-o", "missing/.."], "no such folder"),
        (["get", URL, "--chunk-size", "0"], "from 4K to 1M"),
        (["get", URL, "--chunk-size", "4095"], "from 4K to 1M"),
        (["get", URL, "--chunk-size", "1048577"], "from 4K to 1M"),
        (["get", URL, "--chunk-size", "-1"], "is not a size"),
        (["get", URL, "--chunk-size", "big"], "is not a size"),
        (["get", URL, "--chunk-size", "1K/s"], "is not a size"),
        (["get", URL, "--chunk-size", "٣K"], "is not a size"),
        (["get", URL, "--chunk-size", ""], "is not a size"),
        (["get", URL, "--limit", "fast"], "is not a rate"),
        (["get", URL, "--limit", "99999999999999999999"], "too large"),
        (["get", URL, "--slow-after", "0"], "is not a time"),
        (["get", URL, "--slow-after", "inf"], "is not a time"),
        (["get", URL, "--mode", "swarms"], "must be one of swarm, queue, failover, race"),
        (["get", URL, "--sync", "half"], "must be one of full, none"),
        (["get", URL, "--checksum", "crc32:00"], "ALGORITHM:HEX"),
        (["get", URL, "--checksum", "a" * 64], "ALGORITHM:HEX"),
        (["get", URL, "--checksum", "md5:" + "g" * 32], "hexadecimal"),
        (["get", URL, "--quiet", "--verbose"], "exclude each other"),
        (["demo", "extra"], "extra"),
        (["demo", "--kind", "soul"], "must be one of http"),
        (["verify"], "PATH"),
        (["verify", ""], "path is empty"),
        (["verify", "a", "b"], "b"),
        (["get", *(f"http://h/{n}" for n in range(2001))], "too many addresses: 2001, at most 2000"),
    ],
)
def test_what_is_not_understood_is_one_line_and_exit_code_2(words: list[str], line: str) -> None:
    result, recorder = run(*words)
    assert result.exit_code == 2
    assert recorder.asked == []
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert line in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["http://user:secret@host/x"],
        ["user:secret@host/x"],
        ["get", "user:secret@host/x"],
        ["get", "http://user:sec/secret@host/x"],
        ["get", "http://user:secret@host:99999/x"],
        ["get", "http://user:secret@ho st/x"],
        ["get", URL, "--mode", "http://user:secret@host/x"],
        ["get", URL, "--sync", "user:secret@host"],
        ["get", URL, "--checksum", "http://user:secret@host/x"],
        ["get", URL, "--limit", "http://user:secret@host/x"],
        ["get", URL, "--slow-after", "http://user:secret@host/x"],
        ["verify", "x", "http://user:secret@host/x"],
    ],
)
def test_a_password_in_a_wrong_place_is_not_printed(words: list[str]) -> None:
    result, _ = run(*words)
    assert result.exit_code == 2
    assert "secret" not in result.output


def test_the_same_address_twice_is_used_once_and_said() -> None:
    result, recorder = run("get", "http://u:secret@h/x", "http://u:secret@H:80/x", "http://other/x")
    assert recorder.asked[0].urls == ("http://u:secret@h/x", "http://other/x")  # type: ignore[union-attr]
    assert result.stderr == "note: given twice, used once: http://H:80/x\n"
    assert run("get", URL, URL, "--quiet")[0].stderr == ""


@pytest.mark.parametrize("code", [0, 1, 3, 4, 5, 130])
def test_the_exit_code_is_the_action_s(code: int) -> None:
    for words in (["get", URL], ["demo"], ["verify", "file.part"]):
        assert run(*words, code=code)[0].exit_code == code


def test_demo_and_verify_are_understood() -> None:
    assert run("demo", "--json")[1].asked == [DemoOptions(kind="http", json=True, quiet=False, verbose=False)]
    assert run("verify", "a/b.part", "--json")[1].asked == [VerifyOptions(path=Path("a/b.part"), json=True)]


def test_an_interrupt_ends_with_130_and_a_bug_is_not_hidden() -> None:
    def interrupted(_options: object) -> int:
        raise KeyboardInterrupt

    def broken(_options: object) -> int:
        raise RuntimeError("a bug")

    app = build_app(Actions(get=interrupted, verify=broken, demo=interrupted))
    assert CliRunner().invoke(app, ["get", URL]).exit_code == 130
    assert isinstance(CliRunner().invoke(app, ["verify", "x"]).exception, RuntimeError)


def test_help_names_units_and_every_exit_code() -> None:
    shown = run("get", "--help")[0].stdout
    assert "K = 1024" in shown
    for code, meaning in MEANINGS.items():
        assert f"{code.value}  {meaning}" in shown
    assert "\x1b" not in shown


def test_the_version_is_the_project_s() -> None:
    result, _ = run("--version")
    assert result.stdout == f"shoal {program_version()}\n"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import protocol.messages, protocol.urls", ("typer", "rich")),
        ("import protocol.terminal.front, protocol.terminal.plain, protocol.terminal.json_lines", ("typer", "rich")),
        ("import protocol.terminal.cli", ("rich",)),
    ],
)
def test_what_is_not_used_is_not_imported(code: str, absent: tuple[str, ...]) -> None:
    program = f"import sys; {code}; print([m for m in {absent} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_soulseek_address_is_refused_in_words_and_not_waited_for() -> None:
    with pytest.raises(BadUsage, match="Soulseek users cannot be downloaded from yet"):
        checked_urls(["slsk://ann/music%5Csong.flac"])
