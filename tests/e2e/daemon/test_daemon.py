"""``run.py daemon`` as a service manager sees it: start, readiness, signals, deaths, and what it cannot start with."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from tests.e2e.daemon.daemons import eventually, hung_up, pid_of, running, started
from tests.e2e.program import ROOT, Shoal

KEY = "a-key-that-was-configured"
KEYS = f'[[api.keys]]\nname = "mine"\nkey = "{KEY}"\nrole = "Administrator"\n'


def test_without_a_configuration_it_starts_makes_a_key_and_ends_with_everything_saved(shoal: Shoal) -> None:
    with running(shoal) as daemon:
        key = daemon.state / "api-key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert daemon.url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{daemon.url}/health").json() == {"status": "alive"}
        assert httpx.get(f"{daemon.url}/health/ready").json() == {"status": "ready", "login": "none"}
        assert httpx.get(f"{daemon.url}/api/v0/multisource/jobs").status_code == 401
        assert daemon.get("/api/v0/multisource/jobs") == []
        assert daemon.stderr_has(f"the API key is in {key}")
        assert daemon.stderr_has(f"listening on {daemon.url}")
        assert key.read_text().strip() not in daemon.process.stderr()
        done = daemon.stop()
        assert done.code == 0
        assert "stopped, everything is saved" in done.stderr
        daemon.manager.until("STOPPING=1", wait_s=1.0)


@pytest.mark.long
def test_an_interface_that_is_not_there_is_said_at_the_start_and_by_the_job_that_waits_for_it(shoal: Shoal) -> None:
    with running(shoal, SHOAL_DAEMON_INTERFACE="no-such-0", SHOAL_DAEMON_ALLOW_PRIVATE_SOURCES="true") as daemon:
        assert daemon.stderr_has("note: interface no-such-0 is gone: all jobs wait until it is back")
        with socket.socket() as mirror:
            mirror.bind(("127.0.0.1", 0))
            mirror.listen()
            url = f"http://127.0.0.1:{mirror.getsockname()[1]}/f.bin"
            body = {"filename": "f.bin", "fileSize": 1000, "sources": [{"url": url}]}
            made = daemon.client.post("/api/v0/multisource/download", json=body).json()
            why = f"/api/v0/multisource/jobs/{made['id']}/why"
            words = "interface no-such-0 is gone: waits until it is back"
            eventually(lambda: words in json.dumps(daemon.get(why)))
            mirror.setblocking(False)
            with pytest.raises(BlockingIOError):
                mirror.accept()
        daemon.stop()


@pytest.mark.long
def test_ctrl_c_ends_it_in_order(shoal: Shoal) -> None:
    with running(shoal) as daemon:
        begun_s = time.monotonic()
        os.killpg(daemon.process.pid, signal.SIGINT)  # a terminal tells the whole group
        done = daemon.process.finish()
        assert (done.code, time.monotonic() - begun_s < 8) == (0, True)
        assert "died" not in done.stderr


@pytest.mark.long
def test_a_second_signal_ends_it_at_once(shoal: Shoal) -> None:
    with started(shoal) as daemon:
        daemon.ready()
        hub = psutil.Process(pid_of(daemon, "hub"))
        hub.suspend()  # it will not obey
        daemon.process.signal(signal.SIGTERM)
        daemon.manager.until("STOPPING=1")
        begun_s = time.monotonic()
        done = daemon.stop(signal.SIGINT)
        assert done.code == 130
        assert time.monotonic() - begun_s < 8


@pytest.mark.long
def test_a_stream_that_is_open_does_not_hold_up_the_end(shoal: Shoal) -> None:
    with running(shoal) as daemon:
        begun = threading.Event()

        def hold() -> None:
            with contextlib.suppress(httpx.HTTPError), socket.create_connection(_address(daemon.url)) as sock:
                sock.sendall(b"POST /api/v0/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
                begun.set()
                sock.recv(1000)

        thread = threading.Thread(target=hold)
        thread.start()
        begun.wait()
        begun_s = time.monotonic()
        assert daemon.stop().code == 0
        assert time.monotonic() - begun_s < 8
        thread.join()


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


# what it cannot start with


def test_a_second_daemon_on_the_same_state_is_refused(shoal: Shoal) -> None:
    with running(shoal) as daemon:
        second = shoal.run("daemon", SHOAL_STATE=str(daemon.state), SHOAL_API_PORT="0")
        assert second.code == 2
        assert second.the_line == (
            f"error: the state folder {daemon.state} is in use by another daemon (process {daemon.process.pid})"
        )


def test_a_port_that_is_taken_is_one_line(shoal: Shoal, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = shoal.run("daemon", SHOAL_STATE=str(tmp_path / "s"), HOME=str(tmp_path), SHOAL_API_PORT=str(port))
    assert refused.code == 2
    assert refused.the_line == f"error: cannot listen on 127.0.0.1:{port}: the port is taken"


@pytest.mark.parametrize("place", ["file/state", pytest.param("/proc/shoal", marks=pytest.mark.long)])
def test_a_state_folder_that_cannot_be_written_is_one_line(shoal: Shoal, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    refused = shoal.run("daemon", SHOAL_STATE=str(tmp_path / place), HOME=str(tmp_path), SHOAL_API_PORT="0")
    assert refused.code == 2
    assert refused.the_line.startswith(f"error: the state folder {tmp_path / place} cannot be written: ")


@pytest.mark.long
def test_a_downloads_folder_that_cannot_be_made_is_one_line(shoal: Shoal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    downloads = tmp_path / "file" / "downloads"
    refused = shoal.run(
        "daemon", SHOAL_STATE=str(tmp_path / "s"), SHOAL_API_PORT="0", SHOAL_DAEMON_DOWNLOADS=str(downloads)
    )
    assert (refused.code, refused.the_line) == (
        2,
        f"error: the downloads folder {downloads} cannot be made: Not a directory",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[api]\nport = 70000\n", "error: shoal.toml:2: port under [api] must be a whole number from 0 to 65535"),
        pytest.param(
            "[api]\nprot = 1\n",
            "error: shoal.toml:2: [api] has no key 'prot'; did you mean 'port'?",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "\n\n[limit]\n",
            "error: shoal.toml:3: unknown table or key 'limit'; did you mean 'limits'?",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "[api\n",
            "error: shoal.toml is not TOML: wrong at line 1, column 5; write texts in quotes",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_broken_configuration_is_one_line_with_its_place(shoal: Shoal, text: str, line: str) -> None:
    (shoal.folder / "shoal.toml").write_text(text)
    refused = shoal.run("daemon", "--config", "shoal.toml")
    assert (refused.code, refused.the_line) == (2, line)


def test_with_json_lines_an_error_is_one_too(shoal: Shoal) -> None:
    (shoal.folder / "shoal.toml").write_text("[api]\nport = 'x'\n")
    refused = shoal.run("daemon", "--log-json", "--config", "shoal.toml")
    assert refused.code == 2
    line = json.loads(refused.the_line)
    assert (line["process"], line["level"]) == ("front", "error")
    assert "shoal.toml:2" in line["message"]


# the configuration, read again


def test_a_hang_up_changes_what_can_be_changed_and_names_the_rest(shoal: Shoal) -> None:
    other = "another-key-that-is-long"
    with running(shoal, config=f"{KEYS}[api]\nmax_page = 10\n", SHOAL_API_PORT="0") as daemon:
        assert daemon.get("/api/v0/multisource/jobs") == [], "the commands of this user have a key all the same"
        daemon.use_key(KEY)
        assert daemon.get("/api/v0/multisource/jobs") == []
        file = shoal.folder / "shoal.toml"
        file.write_text(KEYS.replace(KEY, other) + '[api]\nhost = "127.0.0.2"\n[limits]\nrate_kib_s = 7\n')
        hung_up(daemon)
        assert daemon.stderr_has("the configuration was read again; after a restart: api.host")
        eventually(lambda: daemon.client.get("/api/v0/multisource/jobs").status_code == 401)
        daemon.use_key(other)
        assert daemon.get("/api/v0/multisource/jobs") == []
        file.write_text("[api]\nport = ")
        hung_up(daemon)
        assert daemon.stderr_has("error: the configuration is kept as it was: shoal.toml is not TOML")
        file.write_text("[daemon]\nchunk_kib = 3\n")
        hung_up(daemon)
        assert daemon.stderr_has("error: the configuration is kept as it was: shoal.toml:2: chunk_kib under [daemon]")
        assert daemon.get("/api/v0/multisource/jobs") == []
        daemon.process.child("api").kill()
        eventually(lambda: daemon.stderr_has("the api process died"))
        assert daemon.get("/api/v0/multisource/jobs") == [], "a process started again goes by what holds now"


@pytest.mark.long
def test_levels_of_the_log_change_while_it_runs(shoal: Shoal) -> None:
    with running(shoal, "--log-json", config='[daemon]\nlog_level = "debug"\n', SHOAL_API_PORT="0") as daemon:
        eventually(lambda: '"level": "debug"' in daemon.process.stderr())
        (shoal.folder / "shoal.toml").write_text('[daemon]\nlog_level = "error"\n')
        hung_up(daemon)
        lines = [json.loads(line) for line in daemon.process.stderr().splitlines()]
        assert {line["process"] for line in lines} > {"front", "api"}
        assert any("listening on" in line["message"] for line in lines)


# deaths


@pytest.mark.parametrize(
    "name", ["api", *(pytest.param(name, marks=pytest.mark.long) for name in ("jobs", "hub", "store"))]
)
def test_a_killed_process_comes_back(shoal: Shoal, name: str) -> None:
    with running(shoal) as daemon:
        before = pid_of(daemon, name)
        os.kill(before, signal.SIGKILL)
        # Connections wait in the backlog of the socket that the front holds: no one is refused meanwhile.
        eventually(lambda: daemon.status("/health/ready") == 200)
        eventually(lambda: daemon.stderr_has(f"the {name} process died (killed by SIGKILL) and is restarted"))
        assert pid_of(daemon, name) != before
        eventually(lambda: daemon.status("/api/v0/multisource/jobs") == 200)


@pytest.mark.long
def test_a_process_that_keeps_dying_ends_the_daemon_with_the_reason(shoal: Shoal) -> None:
    with started(shoal) as daemon:
        daemon.ready()
        while daemon.process.process.poll() is None:
            with contextlib.suppress(psutil.Error, AssertionError):
                daemon.process.await_child("fetch-1").kill()
        done = daemon.process.finish()
        assert done.code == 1
        assert "error: ends: the fetch-1 process cannot be kept alive: killed by SIGKILL" in done.stderr


@pytest.mark.long
def test_when_the_front_is_killed_nothing_outlives_it_and_the_next_one_starts(shoal: Shoal) -> None:
    with started(shoal) as daemon:
        daemon.ready()
        with shoal.killed(daemon.process):
            daemon.process.signal(signal.SIGKILL)
    with running(shoal) as daemon:
        assert daemon.get("/api/v0/multisource/jobs") == []


@pytest.mark.long
def test_the_watchdog_is_fed_only_while_the_front_goes_round(shoal: Shoal) -> None:
    with running(shoal, WATCHDOG_USEC="1500000") as daemon:
        for _ in range(3):
            daemon.manager.until("WATCHDOG=1", wait_s=5.0)
        front = psutil.Process(daemon.process.pid)
        front.suspend()
        eventually(lambda: daemon.manager.waits_in_vain("WATCHDOG=1", wait_s=3.0))
        front.resume()
        daemon.manager.until("WATCHDOG=1", wait_s=10.0)


# what is printed


def test_the_unit_file_names_this_program_and_the_configuration_is_one(shoal: Shoal, tmp_path: Path) -> None:
    unit = shoal.run("daemon", "--print-unit", "--config", "x.toml")
    assert unit.code == 0
    assert f"ExecStart={sys.executable} {ROOT}/run.py daemon --config {shoal.folder}/x.toml\n" in unit.stdout
    for word in ("Type=notify", "WatchdogSec=", "ExecReload=", "KillMode=mixed", "@"):
        assert (word in unit.stdout) is (word != "@") or "@system-service" in unit.stdout
    config = shoal.run("daemon", "--print-config")
    assert config.code == 0
    assert "#max_active_jobs = 4" in config.stdout


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="no systemd here")
def test_systemd_understands_the_unit_file(shoal: Shoal, tmp_path: Path) -> None:
    unit = tmp_path / "shoal.service"
    unit.write_text(shoal.run("daemon", "--print-unit").stdout)
    shown = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "shoal.service" not in shown.stderr, shown.stderr
