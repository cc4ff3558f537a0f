"""The configuration: what holds without a file, what wins, and that every mistake is one line that says where."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.config.file import line_of, printed
from protocol.config.load import Config, ConfigSource, load
from protocol.config.paths import made_api_key, session_key
from protocol.config.schema import fields_of
from protocol.config.settings import (
    ADMINISTRATOR,
    ANYWHERE,
    READ_ONLY,
    READ_WRITE,
    TABLES,
    ApiKey,
    ApiSettings,
    LimitSettings,
    LimitWindow,
    Script,
    SlskdSettings,
    Webhook,
)
from protocol.model.errors import BadConfig

WITHOUT_DEFAULT = {(table, name) for table in ("soulseek", "api") for name in ("username", "password")} | {
    ("get", name)
    for name in ("user_agent", "referer", "cookie_file", "netrc_file", "proxy", "interface", "on_complete")
}
WITHOUT_DEFAULT |= {("daemon", name) for name in ("interface", "output", "file_mode", "folder_mode")}
WITHOUT_DEFAULT |= {("soulseek", "interface"), ("soulseek", "proxy")}
WITHOUT_DEFAULT |= {
    ("fleet", name)
    for name in (
        "node",
        "destination",
        "endpoint",
        "region",
        "access_key",
        "secret_key",
        "key_file",
        "creds_file",
        "ca_file",
    )
}
SECRET = "s3cr3t-w0rd-of-16-characters"
EVERYTHING = """\
[soulseek]
username = "ann"
password = "x"
[daemon]
state = "state"
downloads = "~/music"
more_folders = ["/srv/more"]
max_active_jobs = 7
chunk_kib = 256
allow_private_sources = true
[limits]
rate_kib_s = 1000
[[limits.schedule]]
days = ["sun", "sat"]
from = "23:00"
to = "07:30"
rate_kib_s = 0
[api]
host = "0.0.0.0"
port = 8080
url_base = "shoal/"
hosts = ["NAS.example.org"]
origins = ["https://Page.example.org/"]
proxies = ["10.0.0.0/8"]
username = "me"
password = "long enough"
session_days = 1
[[api.keys]]
name = "reader"
key = "sixteen-characters"
[[api.keys]]
name = "soularr"
key = "another-one-of-sixteen"
role = "ReadWrite"
cidr = ["192.168.1.0/24"]
[[webhooks]]
name = "hook"
url = "http://127.0.0.1:9/x"
events = ["job.sealed"]
secret = "a-secret-of-sixteen"
headers = { X-A = "b" }
[[scripts]]
name = "tag"
command = ["/bin/tag", "--all"]
[slskd]
widen = false
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", f"{tmp_path}/home")
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def written(text: str, mode: int = 0o600) -> None:
    Path("shoal.toml").write_text(text, encoding="utf-8")
    Path("shoal.toml").chmod(mode)


def loaded(text: str | None = None, **environ: str) -> Config:
    if text is not None:
        written(text)
    named = "shoal.toml" if Path("shoal.toml").exists() else ""
    return load(named, {"HOME": os.environ["HOME"], **environ})


def refusal(text: str | None = None, **environ: str) -> str:
    with pytest.raises(BadConfig) as caught:
        loaded(text, **environ)
    line = str(caught.value)
    assert line.isprintable()
    assert SECRET not in line
    return line


def test_without_a_file_everything_is_sensible(tmp_path: Path) -> None:
    config = loaded()
    assert (config.account, config.path, config.notes) == (None, "", ())
    assert config.settings.api == ApiSettings()
    assert (config.settings.api.host, config.settings.api.port) == ("127.0.0.1", 5030)
    assert config.settings.daemon.state == f"{tmp_path}/home/.local/state/shoal"
    assert config.settings.daemon.downloads == f"{tmp_path}/home/.local/share/shoal/downloads"
    assert config.settings.limits == LimitSettings()


def test_a_mark_of_byte_order_that_editors_write_is_no_part_of_a_file() -> None:
    assert loaded("\ufeff[limits]\nrate_kib_s = 1\n").settings.limits.limit_bytes_s == 1024


def test_a_file_says_everything(tmp_path: Path) -> None:
    config = loaded(EVERYTHING)
    daemon, api = config.settings.daemon, config.settings.api
    assert config.account is not None
    assert config.path == f"{tmp_path}/shoal.toml"
    assert daemon.state == f"{tmp_path}/state"
    assert daemon.folders == (f"{tmp_path}/home/music", "/srv/more")
    assert (daemon.active_max, daemon.chunk_size, daemon.allow_private_sources) == (7, 256 * 1024, True)
    window = LimitWindow(days=(5, 6), begin_minute=23 * 60, end_minute=7 * 60 + 30, limit_bytes_s=0)
    assert config.settings.limits == LimitSettings(limit_bytes_s=1000 * 1024, schedule=(window,))
    assert (api.host, api.port, api.url_base, api.session_s) == ("0.0.0.0", 8080, "/shoal", 86400)
    assert (api.hosts, api.origins, api.proxies) == (
        ("nas.example.org",),
        ("https://page.example.org",),
        ("10.0.0.0/8",),
    )
    assert api.keys == (
        ApiKey(name="reader", key="sixteen-characters", role=READ_ONLY, networks=ANYWHERE),
        ApiKey(name="soularr", key="another-one-of-sixteen", role=READ_WRITE, networks=("192.168.1.0/24",)),
    )
    hook = Webhook(
        name="hook",
        url="http://127.0.0.1:9/x",
        events=("job.sealed",),
        secret="a-secret-of-sixteen",
        headers=(("X-A", "b"),),
    )
    assert config.settings.webhooks == (hook,)
    assert config.settings.scripts == (Script(name="tag", command=("/bin/tag", "--all")),)
    assert config.settings.slskd == SlskdSettings(widen=False)
    for word in ("sixteen", "long enough", "127.0.0.1:9"):
        assert word not in repr(config), "secrets are in no repr"


def test_the_environment_wins_over_credentials_and_those_over_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    written(
        '[soulseek]\nusername = "ann"\npassword = "file"\n[api]\nport = 1\nusername = "me"\npassword = "from file"\n'
        '[[api.keys]]\nname = "one"\n[[webhooks]]\nname = "hook"\nurl = "http://h/"\n'
    )
    (folder / "soulseek-password").write_text("credential\n")
    (folder / "api-password").write_text("credential\n")
    (folder / "api-keys-one").write_text("a-credential-of-sixteen")
    (folder / "webhooks-hook").write_text("a-secret-of-sixteen-too")
    given = {"CREDENTIALS_DIRECTORY": str(folder)}
    config = loaded(**given)
    assert config.account is not None
    assert (config.account.password, config.settings.api.password) == ("credential", "credential")
    assert config.settings.api.keys[0].key == "a-credential-of-sixteen"
    assert config.settings.webhooks[0].secret == "a-secret-of-sixteen-too"
    config = loaded(**given, SHOAL_SOULSEEK_PASSWORD="environment", SHOAL_API_PORT="8080", SHOAL_API_KEY="k" * 16)
    assert config.account is not None
    assert (config.account.password, config.settings.api.port) == ("environment", 8080)
    assert config.settings.api.keys[1] == ApiKey(name="environment", key="k" * 16, role=ADMINISTRATOR)


def test_every_kind_of_key_can_come_from_the_environment(tmp_path: Path) -> None:
    config = loaded(
        SHOAL_DAEMON_STATE="/srv/state",
        SHOAL_DAEMON_ALLOW_PRIVATE_SOURCES="true",
        SHOAL_DAEMON_MORE_FOLDERS="/a, /b",
        SHOAL_API_URL_BASE="/x/",
        SHOAL_API_PROXIES="10.0.0.0/8,::1/128",
        SHOAL_LIMITS_RATE_KIB_S="10",
    )
    daemon, api = config.settings.daemon, config.settings.api
    assert (daemon.state, daemon.allow_private_sources, daemon.more_folders) == ("/srv/state", True, ("/a", "/b"))
    assert (api.url_base, api.proxies) == ("/x", ("10.0.0.0/8", "::1/128"))
    assert config.settings.limits.limit_bytes_s == 10240
    assert loaded(SHOAL_STATE="/srv/old").settings.daemon.state == "/srv/old"
    assert loaded(STATE_DIRECTORY="/var/lib/shoal").settings.daemon.state == "/var/lib/shoal"
    assert refusal(SHOAL_API_PORT="many") == "SHOAL_API_PORT must be a whole number from 0 to 65535"
    assert refusal(SHOAL_API_KEY=SECRET[:8]) == "SHOAL_API_KEY must have 16 to 255 printable characters"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[daemon]\n\nmax_active_jobs = 0\n", 3, "max_active_jobs under [daemon] must be a whole number from 1"),
        ("[api]\nhosts = [\n  'a',\n  7,\n]\nport = 1", 2, "hosts under [api] must be a text"),
        ("# a\n[api]\nport = 1\nprot = 2", 4, "[api] has no key 'prot'; did you mean 'port'?"),
        ("[api]\nzzz = 2", 2, "(known: host, port,"),
        ("\n[demon]\nx = 1", 2, "unknown table or key 'demon'; did you mean 'daemon'?"),
        ("daemon = 1", 1, "daemon must be a table, [daemon]"),
        ("[daemon.deep]\nx = 1", 1, "[daemon] has no key 'deep'"),
        ("[webhooks]\nname = 'a'", 1, "webhooks must be tables, [[webhooks]]"),
        ("[api]\nkeys = [1]", 2, "api.keys must be tables"),
        ("[[api.keys]]\nname='a'\nkey='sixteen-characters'\n[[api.keys]]\nname = 'b'", 4, "key is missing under"),
        ("[[api.keys]]\nname='a'\nkey='short'", 3, "key under [[api.keys]] must have 16 to 255"),
        (f"[[api.keys]]\nname='a'\nkey='{SECRET} {SECRET}'", 3, "without spaces"),
        ("[[api.keys]]\nname='a'\nkey='sixteen-characters'\nrole = 'Chief'", 4, "must be one of ReadOnly, ReadWrite"),
        ("[[api.keys]]\nname='a'\nkey='sixteen-characters'\ncidr = ['10.0.0.1/8']", 4, "must be networks"),
        ("[[api.keys]]\nname='a'\nkey='sixteen-characters'\ncidr = []", 4, "one network at least"),
        ("[[scripts]]\nname = 'a'", 1, "command is missing under [[scripts]]"),
        ("[[scripts]]\nname = 'a'\ncommand = []", 3, "must name a program"),
        (
            "[[scripts]]\nname = 'a'\ncommand = ['x']\n\n[[scripts]]\nname = 'a'\ncommand = ['y']",
            5,
            "another [[scripts]] has this name",
        ),
        ("[[limits.schedule]]\nfrom = '25:00'\nto='1:00'\nrate_kib_s=0", 2, "must be a time of the day"),
        ("[[limits.schedule]]\nfrom = '00:60'", 2, "must be a time of the day"),
        ("[[limits.schedule]]\nfrom = '24:00'", 2, "must be a time of the day"),
        ("[[limits.schedule]]\ndays = ['monday']", 2, "must be one of mon,"),
        ("[limits]\nrate_kib_s = -1", 2, "from 0"),
        ("[api]\nhost = '0.0.0.0'\nauthentication = false", 3, "must be true unless host is a loopback"),
        ("[api]\nusername = 'me'", 1, "password is missing under [api]"),
        ("[api]\nport = 1\npassword = 'long enough'", 1, "username is missing under [api]"),
        ("[api]\nurl_base = '/a b'", 2, "must be a path"),
        ("[api]\norigins = ['page.example.org']", 2, "must be origins"),
        ("[api]\nhosts = ['a/b']", 2, "must be host names"),
        ("[[webhooks]]\nname='a'\nurl='ftp://x'", 3, "http:// or https://"),
        ("[[webhooks]]\nname='a'\nurl='http://x'\nevents=['job.done']", 4, "must be one of job.queued"),
        ("[[webhooks]]\nname='a'\nurl='http://x'\nheaders={'a b' = 'c'}", 4, "header names"),
        ("[daemon]\nlog_level = 'loud'", 2, "must be one of error, warning"),
    ],
)
def test_a_mistake_names_its_line_its_key_and_what_is_expected(text: str, line: int, words: str) -> None:
    shown = refusal(text)
    assert shown.startswith(f"shoal.toml:{line}: ")
    assert words in shown


def test_a_syntax_error_names_its_line_and_quotes_nothing() -> None:
    assert "wrong at line 3" in refusal(f"[api]\nport = 1\npassword = {SECRET}\n")


def test_a_credential_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "api-password").write_text(SECRET[:3])
    shown = refusal("[api]\nusername = 'me'", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert shown == "the credential api-password must have 8 to 1024 printable characters"
    (tmp_path / "api-password").unlink()
    (tmp_path / "api-password").mkdir()
    assert "cannot be read" in refusal(CREDENTIALS_DIRECTORY=str(tmp_path))


def test_secrets_that_everybody_can_read_are_warned_of() -> None:
    written("[[api.keys]]\nname = 'a'\nkey = 'sixteen-characters'\n", mode=0o644)
    assert loaded().notes == ("everybody on this machine can read the secrets in shoal.toml: chmod 600 it",)
    written("[api]\nport = 1\n", mode=0o644)
    assert loaded().notes == ()


def test_a_daemon_reads_no_file_of_the_folder_that_it_was_started_in() -> None:
    written("[api]\nport = 7\n")
    config = load("", {"HOME": os.environ["HOME"]})
    assert config.settings.api.port == 5030
    assert config.notes == ("./shoal.toml is not read by a daemon; if it is meant, add --config shoal.toml",)
    assert load("", {"HOME": os.environ["HOME"], "SHOAL_CONFIG": "shoal.toml"}).settings.api.port == 7
    own = Path(os.environ["HOME"], ".config/shoal/shoal.toml")
    own.parent.mkdir(parents=True)
    own.write_text("[api]\nport = 8\n")
    assert load("", {"HOME": os.environ["HOME"]}).settings.api.port == 8


def test_the_file_of_the_current_folder_is_read_by_commands_and_they_say_so() -> None:
    written("[get]\nmode = 'race'\n")
    source = ConfigSource("", {"HOME": os.environ["HOME"]})
    assert source.merged("get") == {"mode": "race"}
    assert source.notes == ("the configuration is ./shoal.toml of this folder",)
    assert ConfigSource("shoal.toml", {"HOME": os.environ["HOME"]}).notes == ()
    assert ConfigSource("", {"HOME": os.environ["HOME"], "SHOAL_CONFIG": "shoal.toml"}).notes == ()


@pytest.fixture(params=["here", "home"])
def found(request: pytest.FixtureRequest) -> Path:
    """A place where a configuration is looked for, without a file yet."""
    path = Path("shoal.toml") if request.param == "here" else Path(os.environ["HOME"], ".config/shoal/shoal.toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o620, 0o660])
def test_a_file_that_is_found_and_that_others_may_write_is_refused(found: Path, mode: int) -> None:
    found.write_text(f'[soulseek]\nusername = "a"\npassword = "{SECRET}"\n')
    found.chmod(mode)
    with pytest.raises(BadConfig, match=r"shoal\.toml is not read, others may write it \(chmod go-w\); name the"):
        ConfigSource("", {"HOME": os.environ["HOME"]})


@pytest.mark.skipif(os.geteuid() != 0, reason="only an administrator can give files away")
@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_is_found_of_another_user_is_refused(found: Path, link: bool) -> None:
    found.write_text("[soulseek]\nserver = '127.0.0.1'\n")
    if link:  # a file of ours that another one points to
        found.rename(found.with_name("mine.toml"))
        found.symlink_to("mine.toml")
    os.chown(found, 65534, 65534, follow_symlinks=False)
    with pytest.raises(BadConfig, match=r"is not read, it belongs to another user \(uid 65534\)"):
        ConfigSource("", {"HOME": os.environ["HOME"]})
    assert ConfigSource(str(found), {}).merged("soulseek") == {"server_host": "127.0.0.1"}, "it was named"


def test_a_pipe_that_is_found_is_not_waited_for(found: Path) -> None:
    os.mkfifo(found, 0o600)
    with pytest.raises(BadConfig, match="it is not a plain file"):
        ConfigSource("", {"HOME": os.environ["HOME"]})


def test_a_named_file_that_everybody_may_write_is_refused() -> None:
    written("[api]\nport = 7\n", mode=0o646)
    with pytest.raises(BadConfig, match=r"^shoal\.toml is not read, others may write it \(chmod go-w\)$"):
        load("shoal.toml", {})


def test_units_of_the_get_table_are_those_of_the_options(tmp_path: Path) -> None:
    written("[get]\nlimit = '2.5M'\nchunk_size = '64K'\nfolder = '~/x'\nheader = ['A: b']\n")
    values = ConfigSource("shoal.toml", {"HOME": os.environ["HOME"]}).merged("get")
    assert values == {
        "limit_bytes_s": 2621440,
        "chunk_size": 65536,
        "output": f"{tmp_path}/home/x/",
        "headers": ("A: b",),
    }
    assert refusal(f"[get]\nlimit = '{SECRET[:9]}'") == (
        "shoal.toml:2: limit under [get] must be a rate, like 500K or 2.5M"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ip_version = 5", "must be one of 0, 4, 6"),
        ("ip_version = true", "must be one of 0, 4, 6"),
        ("proxy = 'ftp://x'", "must be none, or an address that begins with http, https, socks5, socks5h"),
        ("interface = 'wg 0'", "must be the name of an interface, or an address of this machine"),
        ("header = ['A: b', 'nonsense']", "must be written as 'Name: value'; 'Name:' takes a usual field away"),
        ("referer = 'ü'", "must have at most 2000 printable ASCII characters"),
        ("user_agent = 'ü'", "must have at most 2000 printable ASCII characters"),
        ('on_complete = "a \'b"', "must close each quote"),
        ("on_complete = ' '", "must name a program"),
        ("memory_limit = '1'", "must be a size of at least 8M, like 1G"),
    ],
)
def test_what_an_option_refuses_the_get_table_refuses_with_its_place(line: str, words: str) -> None:
    assert refusal(f"[get]\n{line}") == f"shoal.toml:2: {line.split(' ', maxsplit=1)[0]} under [get] {words}"


def test_the_printed_configuration_changes_nothing_and_names_every_key() -> None:
    text = printed()
    bare = loaded()
    same = loaded(text)
    assert (same.settings, same.account) == (bare.settings, bare.account)
    for table, (kind, _, rows) in TABLES.items():
        assert (f"#[[{table}]]" if rows else f"[{table}]") in text
        for name in fields_of(kind):
            assert re.search(rf"^#{name} = ", text, re.MULTILINE)


def test_the_defaults_that_are_printed_are_those_that_hold(tmp_path: Path) -> None:
    """Everything uncommented, but what has no default."""
    text = printed().replace("~/", f"{tmp_path}/home/")
    kept: list[str] = []
    for line in text.splitlines():
        table = re.match(r"#?\[", line)
        name = re.match(r"#(\w+) = ", line)
        if table:
            header = line.lstrip("#")
            keep = not header.startswith("[[")
            current = header.strip("[]")
        if (table and keep) or (name and keep and (current, name[1]) not in WITHOUT_DEFAULT):
            kept.append(line.lstrip("#"))
    assert len(kept) >= 50
    assert loaded("\n".join(kept)).settings == loaded("").settings


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    key, path, made = made_api_key(str(tmp_path))
    assert made
    assert len(key) >= 32
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert made_api_key(str(tmp_path)) == (key, path, False)
    assert session_key(str(tmp_path)) == session_key(str(tmp_path)) != key.encode()
    Path(path).write_text("")
    assert made_api_key(str(tmp_path))[0] not in ("", key), "one that says nothing is made again"


names = st.text("abc", min_size=1, max_size=3)
values = st.sampled_from(["1", "'x'", "[\n  1,\n\n  2,\n]", '"""\na = 1\n[b]\n"""', "[1, 2]", "{ a = 1 }"])


@given(st.lists(st.tuples(names, st.dictionaries(names, values, max_size=4)), max_size=5), st.integers(0, 3))
def test_the_line_of_anything_is_found(tables: list[tuple[str, dict[str, str]]], blank: int) -> None:
    lines: list[str] = []
    places: list[tuple[tuple[str | int, ...], int]] = []
    seen: dict[str, int] = {}
    for table, keys in tables:
        lines += ["# a comment = 1"] * blank + [f"[[{table}]]"]
        index = seen[table] = seen.get(table, -1) + 1
        places.append(((table, index), len(lines)))
        for name, value in keys.items():
            places.append(((table, index, name), len(lines) + 1))
            lines += f"{name} = {value}".split("\n")
    text = "\n".join(lines)
    for path, line in places:
        assert line_of(text, path) == line, (path, text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('output = "{artits}{ext}"', "has no field {artits}"),
        ('output = "../{name}{ext}"', "of dots"),
        ('file_mode = "0400"', 'must be a mode like "0640"'),
        ("roots = { music = '/x' }", "the kinds are audio"),
        ("roots = { audio = 'x' }", "absolute folders"),
        ('interface = "a b"', "must be the name of an interface"),
    ],
)
def test_a_wrong_place_for_files_is_named_with_line_and_key(line: str, words: str) -> None:
    with pytest.raises(BadConfig) as caught:
        loaded(f"[daemon]\nlog_level = 'info'\n{line}\n")
    assert ":3: " in str(caught.value)
    assert line.partition(" ")[0] in str(caught.value)
    assert words in str(caught.value)
