"""The words of the commands that drive a daemon; none of them is asked here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.cli.commands.download import picked_of
from protocol.cli.commands.jobs import daemon_commands
from protocol.cli.remote.download import place_in_daemon
from protocol.client import saved_pool as pools
from tests.protocol.cli.test_app import run

README = Path(__file__).parents[3] / "README.md"
NOWHERE = "http://127.0.0.1:9"
"""Where no one is."""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in ("SHOAL_URL", "SHOAL_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SHOAL_STATE", str(tmp_path))
    return {"SHOAL_STATE": str(tmp_path)}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["pause"], "pause needs the id of a job, or how it begins (see: jobs)"),
        (["jobs", "--state", "done"],
         "--state 'done': must be one of queued, active, paused, sealed, failed, cancelled"),
        (["jobs", "--limit", "0"], "--limit '0': must be a number from 1 to 100000"),
        (["limit", "fast"], "RATE: 'fast' is not a rate; write it like 500K or 2.5M/s (K = 1024)"),
        (["limit", "1M", "--schedule", "1:00-2:00 1M"], "--schedule is for all jobs together, and goes without RATE"),
        (["limit", "--job", "3f", "--schedule", "off"], "--schedule is for all jobs together, and goes without RATE"),
        (["limit", "auto", "--job", "3f"], "auto is for all jobs together: the configuration says nothing of one job"),
        (["pool", "refresh"], "TERM is missing: nothing was searched for before"),
        (["pool", "refresh", "tide", "121"], "SECONDS 121: must be from 1 to 120"),
        (["pool", "add", "http://h/a"], "pool add needs --size BYTES: it says which file this is a source of"),
        (["pool", "add", "a", "b", "c", "--size", "1"], "pool add needs one address, or a user and a remote path"),
        (["pool", "add", "http://h/", "--size", "1"],
         "the address does not say what the file is called: give --name NAME"),
        (["race"], "race needs the exact size of a file in the pool, and perhaps the KiB of a chunk"),
        (["race", "77"], "no file of the pool has 77 bytes (see: pool targets)"),
        (["auto"], "TERM is missing: nothing was searched for before"),
        (["get", "http://h/a", "--api-key", "k"],
         "--api-key and --api-key-file are for a daemon: add --daemon or --url"),
        (["get", "http://h/", "--url", NOWHERE], "the addresses do not say what the file is called: give -o NAME"),
        (["swarm", "tide", "--url", NOWHERE, "-o", "x.flac"],
         "-o: what a search finds is called as users call it; give a folder, with a / at its end"),
        (["jobs", "--url", "h"], "--url: this is not an address; write it like http://127.0.0.1:5030"),
        (["jobs", "--api-key", "a", "--api-key-file", "b"], "--api-key and --api-key-file exclude each other"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(words: list[str], error: str) -> None:
    result, _ = run(*words)
    assert (result.exit_code, result.stderr) == (2, f"error: {error}\n")


@pytest.mark.parametrize(
    "words",
    [["jobs"], ["job", "3f"], ["resume", "3f"], ["why", "3f"], ["limit"], ["monitor"], ["auto", "tide"],
     ["pool", "refresh", "tide"], ["get", "http://h/a", "--daemon"], ["swarm", "tide", "--daemon"]],
)  # fmt: skip
def test_without_a_daemon_every_command_is_one_line_and_exit_code_7(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_URL", NOWHERE)
    result, recorder = run(*words)
    assert result.exit_code == 7
    assert result.stderr == f"error: no daemon at {NOWHERE} (connection refused); start one: shoal daemon\n"
    assert recorder.asked == [], "nothing is fetched here instead"


def test_the_environment_alone_hands_nothing_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_URL", NOWHERE)
    result, recorder = run("get", "http://h/a")
    assert result.exit_code == 0
    assert len(recorder.asked) == 1


def test_numbers_are_a_file_of_the_pool_only_when_it_is_there(own_state: dict[str, str]) -> None:
    assert picked_of(["1984"]) is None
    pools.save(pools.Pool().with_source("http://h/a.bin", size_bytes=1984, name=""), own_state)
    picked = picked_of(["1984", "64"])
    assert picked is not None
    assert (picked.target.name, picked.chunk_size) == ("a.bin", "64K")
    assert picked_of(["1984", "film"]) is None
    assert picked_of(["1984", "64", "3"]) is None
    assert picked_of(["1985"]) is None


def test_a_chunk_of_a_pool_s_file_has_the_usual_bounds(own_state: dict[str, str]) -> None:
    pools.save(pools.Pool().with_source("http://h/a.bin", size_bytes=1984, name=""), own_state)
    assert run("swarm", "1984", "3")[0].stderr.startswith("error: --chunk-size '3K': must be from 4K to 1M")
    assert run("race", "1984", "2000")[0].exit_code == 2


def test_a_pool_is_added_to_listed_and_cleared() -> None:
    assert run("pool", "add", "ann b", "music\\tide.flac", "--size", "5")[0].output == "tide.flac: 1 source\n"
    assert run("pool", "add", "http://h/x", "--size", "5")[0].output == "tide.flac: 2 sources\n"
    assert "tide.flac" in run("pool", "targets")[0].stdout
    assert '"slsk://ann%20b/music%5Ctide.flac","http://h/x"' in run("pool", "targets", "--json")[0].stdout
    assert run("pool", "clear")[0].exit_code == 0
    assert run("pool", "targets")[0].stderr == "the pool is empty: pool refresh TERM\n"


@pytest.mark.parametrize(
    ("output", "place"),
    [(None, (None, "")), ("a.bin", (None, "a.bin")), ("sub/a.bin", ("sub", "a.bin")), ("sub/", ("sub", "")),
     ("/d/a.bin", ("/d", "a.bin")), ("/a.bin", ("/", "a.bin"))],
)  # fmt: skip
def test_a_place_is_meant_in_the_daemon(output: str | None, place: tuple[str | None, str]) -> None:
    assert place_in_daemon(output) == place


def test_a_plain_command_loads_nothing_of_the_client() -> None:
    loaded = "import sys; from tests.protocol.cli.test_app import run; r = run(*sys.argv[1:])[0]; " + (
        "print(r.exit_code, *sorted(m for m in sys.modules if m.startswith(('protocol.client', 'httpx')) "
        "or m.startswith('protocol.cli.commands.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded, "get", "http://h/a"], capture_output=True, text=True, check=True, timeout=50
    )
    assert (
        done.stdout == "0 protocol.cli.commands.documents protocol.cli.commands.download protocol.cli.commands.export\n"
    )


def test_what_only_a_download_of_ours_obeys_is_said_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_URL", NOWHERE)
    words = ("get", "http://h/a", "--daemon", "--sync", "none", "--slow-rate", "9K")
    said = "note: the daemon goes by its own configuration, not by --sync, --slow-rate"
    assert run(*words)[0].stderr.splitlines()[0] == said
    assert not run(*words, "--quiet")[0].stderr.startswith("note")


def test_the_readme_names_no_command_that_is_not_there() -> None:
    named = set(re.findall(r"^(?:\S+/)?shoal ([a-z]+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    commands = set(daemon_commands(lambda _path, _algorithm: "", epilog="")) | {
        "get",
        "search",
        "swarm",
        "daemon",
        "demo",
    }
    assert {"get", "search", "swarm", "daemon", "jobs", "why"} <= named <= commands
