"""Where the daemon is and which key opens it, and that no key is ever shown or sent elsewhere."""

from pathlib import Path

import pytest

from protocol.client.credentials import DEFAULT_URL, Access, checked_url, find_access, hidden_in, is_here

KEY = "a-key-that-is-long-enough"


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "api-key").write_text(f"{KEY}\n")
    return {"SHOAL_STATE": str(tmp_path)}


def test_without_a_word_it_is_the_daemon_of_this_user_here(state: dict[str, str]) -> None:
    found = find_access("", "", "", state)
    assert (found.url, found.key) == (DEFAULT_URL, KEY)
    assert found.key_from == f"{state['SHOAL_STATE']}/api-key"


def test_options_go_before_the_environment_and_that_before_the_file(state: dict[str, str], tmp_path: Path) -> None:
    environ = {**state, "SHOAL_URL": "http://[::1]:1/x/", "SHOAL_API_KEY": "from-environment"}
    assert find_access("", "", "", environ).url == "http://[::1]:1/x"
    assert find_access("http://localhost:2", "", "", environ).url == "http://localhost:2"
    assert find_access("", "", "", environ).key == "from-environment"
    assert find_access("", "as-option", "", environ).key == "as-option"
    file = tmp_path / "key"
    file.write_text(" in-a-file \n")
    assert find_access("", "", str(file), environ).key == "in-a-file"


@pytest.mark.parametrize("url", ["http://daemon.example:5030", "https://10.0.0.1", "http://127.0.0.1.evil.example"])
def test_the_key_of_the_daemon_here_is_sent_nowhere_else(state: dict[str, str], url: str) -> None:
    assert not is_here(url)
    assert find_access(url, "", "", state) == Access(url=url)


def test_no_key_is_in_a_repr(state: dict[str, str]) -> None:
    assert KEY not in repr(find_access("", "", "", state))


@pytest.mark.parametrize(
    "word",
    [
        "",
        "127.0.0.1:5030",
        "ftp://h",
        "http://",
        "http://h:port",
        "http://h/ x",
        "http://h?x",
        "http://h#x",
        "http://\x1b",
    ],
)
def test_what_is_no_address_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="--url"):
        checked_url(word)


def test_a_password_in_the_address_is_refused_and_not_quoted() -> None:
    with pytest.raises(ValueError, match="no name and password") as refused:
        checked_url("http://me:s3cr3t@h")
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("key", [" ", "with\nline", "ключ", "x" * 256])
def test_what_cannot_be_a_key_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ValueError, match=r"^SHOAL_API_KEY: this is no API key$"):
        find_access("", "", "", {"SHOAL_API_KEY": key})


def test_a_key_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^--api-key-file {tmp_path}/none: No such file or directory$"):
        find_access("", "", f"{tmp_path}/none", {})


def test_only_arguments_that_are_the_secret_become_stars() -> None:
    arguments = b"run.py\0jobs\0--api-key\0key1\0--api-key=key1\0key12\0tail-key1\0\0"
    hidden = hidden_in(arguments, b"key1")
    assert hidden == b"run.py\0jobs\0--api-key\0****\0--api-key=****\0key12\0tail-key1\0\0"
