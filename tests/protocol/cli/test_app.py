"""The command line: what is understood, and that everything else is one line and exit code 2."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from protocol.cli.app import Actions, build_app
from protocol.cli.args import Http, Transfer
from protocol.cli.commands.documents import FetchDocument
from protocol.cli.parsing import DaemonOptions, DemoOptions, ExportOptions, GetOptions, SearchOptions, VerifyOptions
from protocol.cli.views.outcome import MEANINGS
from protocol.config.schema import fields_of
from protocol.config.settings import Account, GetSettings
from protocol.model.job_spec import HttpOptions, JobSpec
from protocol.model.limits import HEX_DIGITS
from protocol.model.value import fields
from protocol.model.version import program_version

URL = "http://127.0.0.1:8080/file.iso"

PEER_URL = "slsk://ann/music%5Csong.flac"
Options = GetOptions | SearchOptions | VerifyOptions | DemoOptions | DaemonOptions | ExportOptions


@pytest.fixture(autouse=True)
def no_account(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user who runs these tests may have one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    for name in ("SHOAL_CONFIG", "SHOAL_SOULSEEK_USERNAME", "SHOAL_SOULSEEK_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setenv("SHOAL_SOULSEEK_USERNAME", "me")
    monkeypatch.setenv("SHOAL_SOULSEEK_PASSWORD", "s3cr3t")
    note = "no folder is shared (shared_folders): many Soulseek users ban those who share nothing"
    return Account(username="me", password="s3cr3t", notes=(note,))


@dataclass
class Recorder:
    """Keeps what a command would have done; `code` is what it returns."""

    code: int = 0
    asked: list[Options] = field(default_factory=list)

    def act(self, options: Options) -> int:
        self.asked.append(options)
        return self.code


def no_digest(_path: str, _algorithm: str) -> str:
    raise AssertionError("nothing is to be hashed")


def no_document(_url: str, _http: HttpOptions, _most: int) -> bytes:
    raise AssertionError("nothing is to be fetched")


def run(*words: str, code: int = 0, document: FetchDocument = no_document) -> tuple[Result, Recorder]:
    recorder = Recorder(code)
    app = build_app(
        Actions(
            get=recorder.act,
            search=recorder.act,
            verify=recorder.act,
            demo=recorder.act,
            daemon=recorder.act,
            digest=no_digest,
            document=document,
            export=recorder.act,
        )
    )
    return CliRunner().invoke(app, words), recorder


def got(*words: str) -> GetOptions:
    result, recorder = run("get", *words)
    assert result.exit_code == 0, result.output
    (options,) = recorder.asked
    assert isinstance(options, GetOptions)
    return options


def test_a_bare_get_has_the_documented_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert got(URL) == GetOptions(spec=JobSpec(folder=str(tmp_path), existing="auto", require="size"), urls=(URL,))


def flat(options: GetOptions) -> dict[str, Any]:
    """All that was asked for, by name."""
    structs = (options.spec, options.spec.policy)
    fields = {name: getattr(struct, name) for struct in structs for name in struct.__struct_fields__}
    return fields | {name: getattr(options, name) for name in GetOptions.__struct_fields__}


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
        (["--rate", "1.5MiB/s"], "limit_bytes_s", 1572864),
        (["--limit", "0"], "limit_bytes_s", 0),
        (["--slow-rate", "1024"], "slow_rate_bytes_s", 1024),
        (["--slow-after", "1.5"], "slow_after_s", 1.5),
        (["--timeout", "45"], "timeout_s", 45.0),
        (["--stall-timeout", "20s"], "stall_timeout_s", 20.0),
        (["--retries", "7"], "failures_max", 7),
        (["--slow-after", "30s"], "slow_after_s", 30.0),
        (["--patience", "60"], "patience_s", 60.0),
        (["--patience", "0"], "patience_s", 0.0),
        ([], "patience_s", 15.0),
        (["--race-users", "3"], "race_users", 3),
        (["--memory-limit", "256M"], "memory_limit_bytes", 256 << 20),
        ([], "memory_limit_bytes", 1 << 30),
        (["--mode", "queue"], "mode", "queue"),
        (["--mode", "failover"], "mode", "failover"),
        (["--mode", "race"], "mode", "race"),
        (["--sync", "none"], "sync", "none"),
        (["--existing", "resume"], "existing", "resume"),
        (["--preallocate"], "preallocate", True),
        (["--json"], "json", True),
        (["--quiet"], "quiet", True),
        (["--verbose"], "verbose", True),
        (["--checksum", "SHA256:" + "A" * 64], "checksum", "sha256:" + "a" * 64),
        (["--checksum", "SHA-256:" + "A" * 64], "checksum", "sha256:" + "a" * 64),
        (["http://two/x", "https://three/x"], "urls", (URL, "http://two/x", "https://three/x")),
    ],
)
def test_an_option_is_understood(words: list[str], name: str, value: object) -> None:
    assert flat(got(URL, *words))[name] == value
    assert flat(got(*words, URL))[name] == value or name == "urls"


@pytest.mark.parametrize("algorithm", HEX_DIGITS)
def test_every_known_checksum_is_taken_with_its_own_length_only(algorithm: str) -> None:
    digits = HEX_DIGITS[algorithm]
    assert got(URL, "--checksum", f"{algorithm}:{'0' * digits}").spec.checksum == f"{algorithm}:{'0' * digits}"
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
    assert (Path(options.spec.folder), options.spec.name) == (tmp_path / folder, name)


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
        (["get", URL, "-o", "-", "--json"], "with neither a daemon nor --json"),
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
        (["get", URL, "--patience", "-1"], "is not a time"),
        (["get", URL, "--memory-limit", "4M"], "must be at least 8M"),
        (["get", URL, "--mode", "swarms"], "must be one of swarm, queue, failover, race"),
        (["get", URL, "--sync", "half"], "must be one of full, none"),
        (["get", URL, "--checksum", "crc32:00"], "ALGORITHM:HEX"),
        (["get", URL, "--checksum", "a" * 64], "ALGORITHM:HEX"),
        (["get", URL, "--checksum", "md5:" + "g" * 32], "hexadecimal"),
        (["get", URL, "--quiet", "--verbose"], "exclude each other"),
        (["get", URL, "-H", "Name"], "must be written as 'Name: value'"),
        (["get", URL, "-H", "a b: c"], "must be written as 'Name: value'"),
        (["get", URL, "-H", "A: b\nc"], "that no field can have"),
        (["get", URL, "-H", "Range: bytes=0-"], "Range, which is set by the program itself"),
        (["get", URL, "-A", "a\tb"], "printable ASCII"),
        (["get", URL, "--cookie-file", "/gone"], "--cookie-file /gone: cannot be read"),
        (["get", URL, "--netrc-file", "/gone"], "--netrc-file /gone: cannot be read"),
        (["get", URL, "--proxy", "ftp://h"], "--proxy: must be none, or an address"),
        (["get", URL, "--proxy", "http://"], "--proxy: must be none, or an address"),
        (["get", URL, "--interface", "a b"], "must be the name of an interface"),
        (["get", URL, "--interface", "999.1.1.1"], "must be the name of an interface"),
        (["get", URL, "--bind", "fe80::1::2"], "must be the name of an interface"),
        (["get", URL, "-4", "-6"], "-4 and -6 exclude each other"),
        (["get", URL, "-x", "0"], "must be a number from 1 to 16"),
        (["get", URL, "--max-time", "0"], "--max-time: "),
        (["get", URL, "--on-complete", "a 'b"], "--on-complete: must close each quote"),
        (["get", URL, "--on-complete", " "], "--on-complete: must name a program"),
        (["get", *(f"http://h/{n}" for n in range(200)), "-x", "16"], "too many connections: 3200, at most 2000"),
        (["demo", "extra"], "extra"),
        (["demo", "--kind", "soul"], "must be one of soulseek, http"),
        (["search"], "TERM is missing"),
        (["search", " "], "TERM is missing"),
        (["search", "a\x1bb"], "control characters"),
        (["search", "x" * 251], "longer than 250"),
        (["search", URL], "write: get URL"),
        (["search", "tide", "--wait", "0"], "--wait: "),
        (["search", "tide", "--wait", "121"], "--wait: "),
        (["search", "tide", "--limit", "0"], "--limit '0': must be a number from 1 to 2000"),
        (["search", "tide", "--limit", "many"], "must be a number"),
        (["search", "tide"], "no Soulseek account: set SHOAL_SOULSEEK_USERNAME and SHOAL_SOULSEEK_PASSWORD, or"),
        (["search", "tide", "--config", "/gone.toml"], "/gone.toml cannot be read"),
        (["swarm"], "TERM is missing"),
        (["swarm", URL], "write: get URL"),
        (["swarm", "tide", "--size", "0"], "--size: "),
        (["swarm", "tide", "--size", "-1"], "is not a size"),
        (["swarm", "tide", "--mode", "fast"], "must be one of swarm, queue"),
        (["swarm", "tide"], "no Soulseek account"),
        (["get", PEER_URL], "no Soulseek account"),
        (["get", URL, PEER_URL], "no Soulseek account"),
        (["get", "slsk://ann"], "slsk://user/percent-encoded-remote-path"),
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
        ["get", URL, "--proxy", "ftp://user:secret@host/x"],
        ["get", URL, "--interface", "http://user:secret@host/x"],
    ],
)
def test_a_password_in_a_wrong_place_is_not_printed(words: list[str]) -> None:
    result, _ = run(*words)
    assert result.exit_code == 2
    assert "secret" not in result.output


def http(*words: str) -> HttpOptions:
    return got(URL, "--no-netrc", *words).spec.http


def test_http_options_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cookies").write_text("")
    assert http() == HttpOptions()
    assert http("-H", "A: 1", "--header", "B:") == HttpOptions(headers=("A: 1", "B:"))
    assert http("-A", "me/1", "--referer", "http://p/") == HttpOptions(user_agent="me/1", referer="http://p/")
    assert http("--cookie-file", "cookies").cookie_file == f"{tmp_path}/cookies"
    assert http("--proxy", "none").proxy == "none"
    assert http("--proxy", "socks5h://me:pw@h:1080").proxy == "socks5h://me:pw@h:1080"
    assert http("--bind", "tun0").interface == http("--interface", "tun0").interface == "tun0"
    assert (http("-4").ip_version, http("-6").ip_version) == (4, 6)
    assert got(URL, "-x", "3").urls == (URL, f"{URL}#connection-2", f"{URL}#connection-3")


def test_a_file_without_end_or_a_pipe_is_no_file_with_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for option in ("--netrc-file", "--cookie-file"):
        assert f"{option} /dev/zero: longer than 4 MiB" in run("get", URL, option, "/dev/zero")[0].stderr
        assert run("get", URL, option, "/dev/null")[0].exit_code == 0
    file = tmp_path / ".netrc"
    os.mkfifo(file, 0o600)
    assert got(URL).spec.http.netrc_file == "", "it is not waited for"
    assert "is a pipe" in run("get", URL, "--netrc")[0].stderr
    file.unlink()
    file.touch(0o600)
    os.truncate(file, 8 << 20)
    assert got(URL).spec.http.netrc_file == ""


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_netrc_of_the_home_folder_is_used_only_where_it_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert got(URL).spec.http.netrc_file == ""
    assert "cannot be read" in run("get", URL, "--netrc")[0].stderr
    file = tmp_path / ".netrc"
    file.write_text("machine h login a password b\n")
    file.chmod(mode)
    private = mode == 0o600
    assert got(URL).spec.http.netrc_file == (str(file) if private else "")
    assert run("get", URL, "--netrc")[0].exit_code == (0 if private else 2)
    assert got(URL, "--no-netrc").spec.http.netrc_file == ""
    assert got(URL, "--netrc-file", str(file)).spec.http.netrc_file == str(file), "it was named"
    file.write_text("machine h\nlogin a passwd b\n")
    assert "cannot be understood in line" in run("get", URL, "--netrc-file", str(file))[0].stderr
    assert run("get", URL, "--netrc")[0].exit_code == 2
    assert got(URL).spec.http.netrc_file == "", "it was not asked for"


def test_a_pipe_is_no_file_that_can_be_read_twice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for option in ("--cookie-file", "--netrc-file"):
        assert "is a pipe" in run("get", URL, option, str(tmp_path / "pipe"))[0].stderr
        assert got(URL, option, os.devnull)


def test_every_key_of_the_get_table_is_an_option_with_the_same_default() -> None:
    keys = {one.name: one.default for one in fields_of(GetSettings).values()}
    options = {one.name: one.default for group in (Transfer, Http) for one in fields(group)}
    version = keys.pop("ip_version")
    assert (version, options.pop("ipv4"), options.pop("ipv6")) == (0, False, False)
    del options["checksum"]  # it is of one file
    assert keys.keys() == options.keys()
    changed = {name for name in keys if keys[name] != options[name]}
    assert changed == {"output", "headers", "netrc"}, "none, here and no fields; netrc where it is private"


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
    for words, kind in ((["demo", "--json"], "soulseek"), (["demo", "--json", "--kind", "http"], "http")):
        assert run(*words)[1].asked == [DemoOptions(kind=kind, json=True, quiet=False, verbose=False)]
    assert run("verify", "a/b.part", "--json")[1].asked == [VerifyOptions(path=Path("a/b.part"), json=True)]


def test_an_interrupt_ends_with_130_and_a_bug_is_not_hidden() -> None:
    def interrupted(_options: object) -> int:
        raise KeyboardInterrupt

    def broken(_options: object) -> int:
        raise RuntimeError("a bug")

    app = build_app(
        Actions(
            get=interrupted,
            search=broken,
            verify=broken,
            demo=interrupted,
            daemon=broken,
            digest=no_digest,
            document=no_document,
            export=broken,
        )
    )
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
        ("import protocol.messages, protocol.model.source_url", ("typer", "rich")),
        ("import protocol.cli.views.base, protocol.cli.views.plain, protocol.cli.views.json_lines", ("typer", "rich")),
        ("import protocol.cli.app", ("rich", "tomllib")),
    ],
)
def test_what_is_not_used_is_not_imported(code: str, absent: tuple[str, ...]) -> None:
    program = f"import sys; {code}; print([m for m in {absent} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_soulseek_address_is_taken_with_the_account(account: Account) -> None:
    assert got(URL).account is None, "plain addresses need none, and none is read"
    options = got(URL, PEER_URL)
    assert (options.urls, options.account) == ((URL, PEER_URL), account)


def test_a_swarm_is_a_get_with_a_term(account: Account) -> None:
    result, recorder = run("swarm", "box quartet", "tide", "--size", "16M", "--chunk-size", "256K", "--json")
    assert result.exit_code == 0
    (options,) = recorder.asked
    assert isinstance(options, GetOptions)
    assert (options.spec.term, options.spec.size_bytes, options.urls) == ("box quartet tide", 16 << 20, ())
    assert (options.spec.chunk_size, options.json, options.account) == (256 << 10, True, account)
    (plain,) = run("swarm", "tide")[1].asked
    assert isinstance(plain, GetOptions)
    assert plain.spec.size_bytes == -1
    assert "s3cr3t" not in repr(options) + result.output


def test_a_search_is_understood(account: Account) -> None:
    expected = SearchOptions(term="box tide", wait_s=5.0, targets_max=20, json=False, account=account)
    assert run("search", "box", " tide ")[1].asked == [expected]
    expected = SearchOptions(term="-x", wait_s=0.5, targets_max=3, json=True, account=account)
    assert run("search", "--wait", "0.5", "--limit", "3", "--json", "--", "-x")[1].asked == [expected]


def test_swarm_and_search_are_bound_to_an_interface_as_get_is(account: Account) -> None:
    for words in (["swarm", "tide"], ["swarm", "tide", "--folder"]):
        (options,) = run(*words, "--bind", "tun0")[1].asked
        assert isinstance(options, GetOptions)
        assert options.spec.http.interface == "tun0"
    (sought,) = run("search", "tide", "--interface", "tun0")[1].asked
    assert isinstance(sought, SearchOptions)
    assert sought.interface == "tun0"
    assert run("search", "tide", "--interface", "a b")[0].exit_code == 2


@pytest.mark.parametrize("words", [["swarm", "tide"], ["get", PEER_URL]])
def test_the_mode_that_annoys_peers_is_warned_of(words: list[str], account: Account) -> None:
    lines = run(*words, "--mode", "queue")[0].stderr.splitlines()
    assert lines[0] == f"note: {account.notes[0]}"
    assert "hundreds of failed uploads" in lines[1]
    assert len(lines) == 2
    assert run(*words, "--mode", "queue", "--quiet")[0].stderr == ""
    assert run(*words)[0].stderr.count("\n") == 1
    assert run("get", URL, "--mode", "queue")[0].stderr == ""


def test_the_session_gets_what_the_account_says() -> None:
    program = (
        "import sys\n"
        "import actors.local.search\n"
        "from actors.soulseek.settings import SessionSettings\n"
        "from actors.soulseek.settings import session_settings\n"
        "from protocol.config.settings import Account\n"
        "plain = session_settings(Account(username='a', password='b'))\n"
        "assert plain == SessionSettings(username='a', password='b'), plain\n"
        "print([m for m in ('aioslsk', 'asyncio', 'pykka') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n", "this process needs none of what the session is made of"
