"""The account: where it is looked for, what wins, and that every mistake is one line without the password."""

import os
from pathlib import Path

import pytest

from protocol.config.load import ConfigSource
from protocol.config.settings import Account
from protocol.model.errors import BadUsage

SECRET = "s3cr3t-w0rd"
LOGIN = {"SHOAL_SOULSEEK_USERNAME": "ann", "SHOAL_SOULSEEK_PASSWORD": SECRET}
FILE_LOGIN = f'[soulseek]\nusername = "ann"\npassword = "{SECRET}"\n'


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text: str, path: str = "shoal.toml", mode: int = 0o600) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


def loaded(config: str = "", **environ: str) -> Account:
    return ConfigSource(config, {"HOME": os.getcwd() + "/home", **environ}).login()


def refusal(config: str = "", **environ: str) -> str:
    with pytest.raises(BadUsage) as caught:
        loaded(config, **environ)
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text
    return text


def test_a_file_says_everything() -> None:
    Path("music").mkdir()
    written(
        FILE_LOGIN + 'server = "slsk.example.org"\nport = 2242\nlisten_ports = [2234, 0]\nobfuscated_port = 2235\n'
        'bind = "127.0.0.1"\nupnp = true\nshared_folders = ["music"]\nsharing = true\nupload_slots = 5\n'
        "upload_limit_kib_s = 100\nsearches = 10\nsearches_s = 60\n"
    )
    assert loaded() == Account(
        username="ann",
        password=SECRET,
        server_host="slsk.example.org",
        server_port=2242,
        ports=(2234, 0),
        obfuscated_port=2235,
        bind_host="127.0.0.1",
        upnp=True,
        shared_folders=(str(Path("music").resolve()),),
        sharing=True,
        upload_slots=5,
        upload_limit_kib_s=100,
        searches=10,
        searches_s=60.0,
        notes=(),
    )


def test_the_environment_alone_is_enough_and_wins_over_the_file() -> None:
    assert loaded(**LOGIN).username == "ann"
    written(FILE_LOGIN + 'port = 1\nserver = "a"\nlisten_ports = [7]\n')
    both = loaded(
        SHOAL_SOULSEEK_USERNAME="bob",
        SHOAL_SOULSEEK_PASSWORD="other",
        SHOAL_SOULSEEK_SERVER="127.0.0.1",
        SHOAL_SOULSEEK_PORT="2242",
        SHOAL_SOULSEEK_LISTEN_PORT="5000,0",
        SHOAL_SOULSEEK_BIND="127.0.0.1",
    )
    assert (both.username, both.password, both.server_host, both.server_port) == ("bob", "other", "127.0.0.1", 2242)
    assert (both.ports, both.bind_host) == ((5000, 0), "127.0.0.1")
    assert loaded(SHOAL_SOULSEEK_USERNAME="").username == "ann", "an empty variable is none"


def test_the_first_file_found_is_the_account() -> None:
    login = FILE_LOGIN.replace
    written(login('"ann"', '"home"'), "home/.config/shoal/shoal.toml")
    assert loaded().username == "home"
    written(login('"ann"', '"xdg"'), "xdg/shoal/shoal.toml")
    assert loaded(XDG_CONFIG_HOME="xdg").username == "xdg"
    written(login('"ann"', '"here"'))
    assert loaded(XDG_CONFIG_HOME="xdg").username == "here"
    written(login('"ann"', '"variable"'), "v.toml")
    assert loaded(XDG_CONFIG_HOME="xdg", SHOAL_CONFIG="v.toml").username == "variable"
    written(login('"ann"', '"option"'), "o.toml")
    assert loaded("o.toml", XDG_CONFIG_HOME="xdg", SHOAL_CONFIG="v.toml").username == "option"


def test_without_an_account_one_line_says_what_to_set() -> None:
    line = refusal()
    for word in ("SHOAL_SOULSEEK_USERNAME", "SHOAL_SOULSEEK_PASSWORD", "username", "password", "shoal.toml"):
        assert word in line
    assert refusal(SHOAL_SOULSEEK_USERNAME="ann").startswith("the Soulseek account has no password: set SHOAL_")
    assert "SHOAL_SOULSEEK_USERNAME" not in refusal(SHOAL_SOULSEEK_USERNAME="ann")
    written("")
    assert refusal().startswith("no Soulseek account: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[soulseek", "not TOML: wrong at "),
        (f'[soulseek]\npassword = "{SECRET}\n', "not TOML: wrong at line 2"),
        (f"[soulseek]\npassword = {SECRET}\n", "not TOML"),
        ("a = " + "[" * 5000, "not TOML"),
        ("soulseek = 1", "must be a table"),
        ("[soulsek]\n", "unknown table or key 'soulsek'"),
        ("[soulseek]\nuser = 'x'", "[soulseek] has no key 'user'"),
        ("[soulseek]\n'a\\u001b' = 1", "has no key"),
        ("[soulseek]\nusername = 1", "username under [soulseek] must be a text"),
        (f"[soulseek]\npassword = ['{SECRET}']", "password under [soulseek] must be a text"),
        ("[soulseek]\nusername = ''", "1 to 30 printable"),
        ("[soulseek]\nusername = '" + "x" * 31 + "'", "1 to 30 printable"),
        ('[soulseek]\nusername = "a\\u0007"', "1 to 30 printable"),
        ("[soulseek]\nserver = 'http//x y'", "no possible host name"),
        ("[soulseek]\nport = 0", "from 1 to 65535"),
        ("[soulseek]\nport = '2416'", "from 1 to 65535"),
        ("[soulseek]\nport = true", "from 1 to 65535"),
        ("[soulseek]\nlisten_ports = 2234", "must be a list"),
        ("[soulseek]\nlisten_ports = []", "one port at least"),
        ("[soulseek]\nlisten_ports = [70000]", "from 0 to 65535"),
        ("[soulseek]\nobfuscated_port = -2", "from -1 to 65535"),
        ("[soulseek]\nbind = 'here'", "address of this machine"),
        ("[soulseek]\nupnp = 1", "true or false"),
        ("[soulseek]\nsharing = 'no'", "true or false"),
        ("[soulseek]\nshared_folders = '/x'", "must be a list"),
        ("[soulseek]\nshared_folders = [1]", "must be a text"),
        ("[soulseek]\nupload_slots = 0", "from 1 to 100"),
        ("[soulseek]\nupload_limit_kib_s = -1", "from 0"),
        ("[soulseek]\nsearches = 1.5", "whole number"),
        ("[soulseek]\nsearches_s = nan", "seconds"),
        ("[soulseek]\nsearches_s = '220'", "seconds"),
        ("#" * (1 << 20) + "\n", "longer than"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(text: str, why: str) -> None:
    written(text)
    line = refusal(**LOGIN)
    assert "shoal.toml" in line
    assert why in line
    assert line.isprintable()


@pytest.mark.parametrize(
    ("name", "word", "why"),
    [
        ("USERNAME", "x" * 31, "1 to 30 printable"),
        ("PORT", "x", "must be a whole number"),
        ("PORT", "0", "from 1 to 65535"),
        ("PORT", "٣", "must be a whole number"),
        ("LISTEN_PORT", "1,x", "must be a whole number"),
        ("SERVER", "a b", "no possible host name"),
        ("BIND", "localhost", "address of this machine"),
    ],
)
def test_a_mistake_in_the_environment_is_one_line_that_names_it(name: str, word: str, why: str) -> None:
    line = refusal(**{**LOGIN, f"SHOAL_SOULSEEK_{name}": word})
    assert line.startswith(f"SHOAL_SOULSEEK_{name} ")
    assert why in line


def test_a_file_that_cannot_be_read_is_said() -> None:
    assert refusal("gone.toml", **LOGIN) == "gone.toml cannot be read: No such file or directory"
    assert "cannot be read" in refusal(SHOAL_CONFIG="gone.toml", **LOGIN)
    assert "cannot be read" in refusal("zero\0byte", **LOGIN)
    Path("shoal.toml").mkdir()
    assert "it is not a plain file" in refusal(**LOGIN)
    Path("shoal.toml").rmdir()
    Path("shoal.toml").symlink_to("nowhere")
    assert "cannot be read" in refusal(**LOGIN)
    Path("bytes.toml").write_bytes(b'[soulseek]\nusername = "\xff"\n')
    assert refusal("bytes.toml") == "bytes.toml is not UTF-8"


def test_a_password_that_everybody_can_read_is_warned_of() -> None:
    written(FILE_LOGIN, mode=0o644)
    assert loaded().notes[0] == "everybody on this machine can read the password in shoal.toml: chmod 600 it"
    written(FILE_LOGIN, mode=0o640)
    assert not any("password" in note for note in loaded().notes)
    written("[soulseek]\nport = 5\n", mode=0o644)
    assert not any("password" in note for note in loaded(**LOGIN).notes)


def test_a_user_without_shares_reads_what_comes_of_it() -> None:
    assert any("ban those who share nothing" in note for note in loaded(**LOGIN).notes)
    Path("music").mkdir()
    written(FILE_LOGIN + "shared_folders = ['music', 'gone']\n")
    account = loaded()
    assert account.shared_folders == (str(Path("music").resolve()),)
    assert account.notes == (f"shoal.toml: the shared folder {Path('gone').absolute()} is not there",)
    written(FILE_LOGIN + "shared_folders = ['music']\nsharing = false\n")
    assert loaded().notes == ("sharing is switched off: many Soulseek users ban those who share nothing",)


def test_the_password_is_in_no_repr() -> None:
    assert SECRET not in repr(loaded(**LOGIN))
