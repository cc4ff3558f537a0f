"""Parts of the daemon's front: what changes at once, what the service manager gets, what a daemon stands on."""

import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.daemon.front import Health, applied
from actors.daemon.preflight import (
    CannotStart,
    address_of,
    checked_job_store,
    listening,
    locked_state,
    made_folder,
    noted_address,
    with_secrets,
)
from actors.daemon.systemd import SystemdNotifier, unit_file
from actors.runtime import log_setup
from actors.runtime.process_stats import ProcessStats
from protocol.config.load import Config
from protocol.config.settings import (
    ADMINISTRATOR,
    ANYWHERE,
    Account,
    ApiKey,
    ApiSettings,
    DaemonSettings,
    LimitSettings,
    Settings,
)
from protocol.model.job_records import SaveJob
from storage.job_store import JobStore
from tests.e2e.program import ROOT
from tests.storage.test_job_store import job

ACCOUNT = Account(username="ann", password="secret")


def config(account: Account | None = None, **changed: Any) -> Config:
    settings = Settings(daemon=DaemonSettings(state="/s", downloads="/d"))
    return Config(settings=replace(settings, **changed), account=account, path="", notes=())


# the unit of systemd

TEMPLATE = (ROOT / "actors/daemon/shoal.service").read_text()


def test_a_unit_sees_what_it_needs_of_a_home_and_nothing_else() -> None:
    command = ["/home/ann/shoal/.venv/bin/python", "/home/ann/shoal/run.py", "daemon"]
    needed = [
        "/home/ann/shoal",
        "/home/ann/shoal/.venv",
        "/usr",
        "/home/ann/.pyenv/3.11",
        "/home/ann/a b/50%/shoal.toml",
    ]
    unit = unit_file(TEMPLATE, command, needed)
    assert "ProtectHome=tmpfs\n" in unit
    assert 'BindReadOnlyPaths=/home/ann/.pyenv/3.11 "/home/ann/a b/50%%/shoal.toml" /home/ann/shoal\n' in unit
    elsewhere = unit_file(TEMPLATE, ["/usr/bin/python", "/homes/run.py", "daemon"], ["/homes", "/usr"])
    assert "ProtectHome=yes\n" in elsewhere
    assert "BindReadOnlyPaths" not in elsewhere


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="no systemd here")
def test_systemd_reads_a_unit_of_odd_folders(tmp_path: Path) -> None:
    place = tmp_path / 'a b$HOME "c" 50%u:\\'
    place.mkdir()
    program = place / "run me.py"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "shoal.service"
    unit.write_text(unit_file(TEMPLATE, ["/bin/sh", str(program)], [f"/home/{place.name}"]))
    shown = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "shoal.service" not in shown.stderr, shown.stderr
    unit.write_text(unit_file(TEMPLATE, [str(tmp_path / "gone"), "x"], []))
    shown = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "gone" in shown.stderr, "it looks for the program"


# what changes at once


def test_what_can_change_does_and_what_cannot_stays_and_is_named() -> None:
    old = config(ACCOUNT)
    new = config(
        replace(ACCOUNT, stops_per_day=9, server_port=1, password="other"),
        daemon=DaemonSettings(state="/other", downloads="/more", active_max=9, log_json=True),
        api=ApiSettings(host="0.0.0.0", port=1, url_base="/x", keys=(ApiKey(name="a", key="k" * 16),), hosts=("nas",)),
        limits=LimitSettings(limit_bytes_s=7),
    )
    now, waiting = applied(old, new)
    assert sorted(waiting) == [
        "api.host",
        "api.port",
        "api.url_base",
        "daemon.log_json",
        "daemon.state",
        "soulseek.password",
        "soulseek.port",
    ]
    daemon, api = now.settings.daemon, now.settings.api
    assert (daemon.state, daemon.downloads, daemon.active_max, daemon.log_json) == ("/s", "/more", 9, False)
    assert (api.host, api.port, api.url_base, api.hosts) == ("127.0.0.1", 5030, "", ("nas",))
    assert api.keys == new.settings.api.keys
    assert now.settings.limits.limit_bytes_s == 7
    assert now.account == replace(ACCOUNT, stops_per_day=9)


def test_nothing_waits_where_nothing_changed() -> None:
    assert applied(config(ACCOUNT), config(ACCOUNT)) == (config(ACCOUNT), [])


@pytest.mark.parametrize(("old", "new"), [(None, ACCOUNT), (ACCOUNT, None)])
def test_an_account_comes_and_goes_with_a_restart(old: Account | None, new: Account | None) -> None:
    now, waiting = applied(config(old), config(new))
    assert (now.account, waiting) == (old, ["soulseek"])


# the service manager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "n"))
        sock.setblocking(False)
        yield sock


def test_the_manager_hears_in_its_own_words(manager: socket.socket) -> None:
    notify = SystemdNotifier({"NOTIFY_SOCKET": manager.getsockname()})
    notify.ready("listens\nREADY=0")
    notify.reloading()
    notify.alive()
    notify.stopping("over")
    said = [manager.recv(1000).decode() for _ in range(4)]
    assert said[0] == "READY=1\nSTATUS=listens READY=0"
    assert said[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert said[2:] == ["WATCHDOG=1", "STOPPING=1\nSTATUS=over"]


@pytest.mark.skipif(sys.platform != "linux", reason="names without a file are Linux's")
def test_a_manager_may_listen_under_a_name_without_a_file() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0shoal-{os.getpid()}")
        SystemdNotifier({"NOTIFY_SOCKET": f"@shoal-{os.getpid()}"}).alive()
        assert sock.recv(100) == b"WATCHDOG=1"


def test_no_one_need_listen(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}, {"NOTIFY_SOCKET": "nonsense\0"}):
        SystemdNotifier(environ).ready("fine")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_where_it_is_meant_for_us(environ: dict[str, str], seconds: float | None) -> None:
    assert SystemdNotifier(environ).watchdog_s == seconds


# what it stands on


def test_a_state_folder_is_its_owners_alone_and_one_daemons(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    with locked_state(str(state)):
        assert state.stat().st_mode & 0o777 == 0o700
        in_use = rf"in use by another daemon \(process {os.getpid()}\)"
        with pytest.raises(CannotStart, match=in_use), locked_state(str(state)):
            pass
    with locked_state(str(state)):
        pass


def test_a_state_folder_that_others_may_read_is_tightened(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with locked_state(str(tmp_path)):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_job_store_that_cannot_be_used_is_said_before_anything_is_started(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    assert checked_job_store(str(tmp_path)) == []
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 8192)
    with pytest.raises(CannotStart, match=r"jobs\.sqlite is damaged .*; move it away to begin with an empty one"):
        checked_job_store(str(tmp_path))


STATE_FILES = ("lock", "address", "api-key", "session-key", "jobs.sqlite", "jobs.sqlite-wal", "logins.sqlite")


def begun(state: Path) -> Settings:
    """What the daemon does with its state folder before it starts anything."""
    with locked_state(str(state)):
        checked_job_store(str(state))
        with noted_address(str(state), "http://127.0.0.1:5030"):
            return with_secrets(Settings(daemon=DaemonSettings(state=str(state), downloads="/d")), str(state))[0]


@pytest.mark.parametrize("name", STATE_FILES)
@pytest.mark.parametrize("kind", ["pipe", "link", "device"])
def test_what_is_no_file_in_the_place_of_a_state_file_is_said_and_not_followed(
    tmp_path: Path, name: str, kind: str
) -> None:
    state, other = tmp_path / "state", tmp_path / "other"
    state.mkdir(mode=0o700)
    other.write_bytes(b"precious")
    other.chmod(0o644)
    if kind == "pipe":
        os.mkfifo(state / name)
    else:
        (state / name).symlink_to("/dev/zero" if kind == "device" else other)
    if name == "address":  # written again by each daemon
        begun(state)
    else:
        with pytest.raises(CannotStart, match=f"{name.removesuffix('-wal')}.*: it is not a plain file: move it away"):
            begun(state)
    assert (other.read_bytes(), other.stat().st_mode & 0o777) == (b"precious", 0o644)


@pytest.mark.parametrize("name", STATE_FILES)
def test_another_file_with_a_second_name_in_the_state_folder_stays_as_it_is(tmp_path: Path, name: str) -> None:
    state, other = tmp_path / "state", tmp_path / "other"
    state.mkdir(mode=0o700)
    other.write_bytes(b"precious")
    other.chmod(0o644)
    os.link(other, state / name)
    with suppress(CannotStart):
        begun(state)
    assert (other.read_bytes(), other.stat().st_mode & 0o777) == (b"precious", 0o644)


def test_a_key_that_others_could_read_is_tightened_and_one_of_another_user_replaced(tmp_path: Path) -> None:
    keys = [tmp_path / name for name in ("api-key", "session-key")]
    for key in keys:
        key.write_text("known-to-others-0123456789\n")
        key.chmod(0o644)
    assert begun(tmp_path).jwt_key == b"known-to-others-0123456789"
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600, 0o600]
    if os.geteuid() == 0:
        for key in keys:
            os.chown(key, 65534, 65534)
        assert begun(tmp_path).jwt_key != b"known-to-others-0123456789"
        assert [key.stat().st_uid for key in keys] == [0, 0]


def test_damaged_rows_of_the_job_store_are_notes_and_no_reason_not_to_start(tmp_path: Path) -> None:
    store = JobStore(str(tmp_path / "jobs.sqlite"))
    store.apply([SaveJob(job(at)) for at in range(1, 16)])
    store.close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        db.execute("UPDATE jobs SET size_bytes = 7 WHERE serial < 14")
    db.close()
    notes = checked_job_store(str(tmp_path))
    assert len(notes) == 11
    assert notes[0] == "job store: a row of jobs is damaged: ['id-1', 1]; a job is shown as failed, order it again"
    assert "and 3 more damaged rows" in notes[-1]


def test_a_folder_on_a_full_or_read_only_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (str(tmp_path / "file"), "/proc/self/x", "/sys"):
        with pytest.raises(CannotStart, match=r"the downloads folder .* cannot be"):
            made_folder(folder, "the downloads folder")


def test_who_listens_where(tmp_path: Path) -> None:
    with listening(ApiSettings(port=0)) as sock:
        port = sock.getsockname()[1]
        assert address_of(sock, ApiSettings(port=0, url_base="/x")) == f"http://127.0.0.1:{port}/x"
        with pytest.raises(CannotStart, match=f"cannot listen on 127.0.0.1:{port}: the port is taken"):
            listening(ApiSettings(port=port))
    with pytest.raises(CannotStart, match="no such name"):
        listening(ApiSettings(host="name.invalid"))
    with pytest.raises(CannotStart, match=r"cannot listen on 192\.0\.2\.1:0: "):
        listening(ApiSettings(host="192.0.2.1", port=0))


def test_a_key_is_made_for_the_user_s_commands_beside_those_configured_for_this_machine_only(tmp_path: Path) -> None:
    bare = config().settings
    made, path = with_secrets(bare, str(tmp_path))
    (own,) = made.api.keys
    assert (own.role, own.networks) == (ADMINISTRATOR, ANYWHERE)
    assert path == f"{tmp_path}/api-key"
    assert made.jwt_key == with_secrets(bare, str(tmp_path))[0].jwt_key
    for api in (
        ApiSettings(username="me", password="long enough"),
        ApiSettings(keys=(ApiKey(name="a", key="k" * 16),)),
    ):
        settings, path = with_secrets(replace(bare, api=api), str(tmp_path))
        here = replace(own, networks=("127.0.0.0/8", "::1/128"))
        assert (settings.api.keys, path) == ((*api.keys, here), f"{tmp_path}/api-key")
    settings, path = with_secrets(replace(bare, api=ApiSettings(authentication=False)), str(tmp_path))
    assert (settings.api.keys, path) == ((), "")


# what is written down


@pytest.fixture
def handled() -> Iterator[None]:
    """The root logger as it was, afterwards."""
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, threading.excepthook
    yield
    threading.excepthook = hook
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger(log_setup.NOTICES).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("handled")
def test_json_lines_say_who_wrote_them_when_and_no_passwords(capfd: pytest.CaptureFixture[str]) -> None:
    log_setup.set_up("hub", logging.WARNING, as_json=True)
    logging.getLogger("actors.x").info("not worth a line")
    logging.getLogger(log_setup.NOTICES).info("listening")
    try:
        raise ValueError("of ftp://me:secret@host/x")
    except ValueError:
        logging.getLogger("actors.x").exception("cannot fetch %s\nnext", "http://me:secret@host/")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["process"], line["level"], line["message"]) for line in lines] == [
        ("hub", "info", "listening"),
        ("hub", "error", "cannot fetch http://***@host/\nnext"),
    ]
    assert lines[0]["at"].endswith("Z")
    assert "ValueError" in lines[1]["error"]
    assert "secret" not in lines[1]["error"]
    warnings.warn("old", stacklevel=1)
    thread = threading.Thread(target=lambda: dict[str, int]()["x"], name="odd")
    thread.start()
    thread.join()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert "UserWarning: old" in lines[0]["message"]
    assert lines[1]["message"] == "the thread odd failed"
    assert "KeyError" in lines[1]["error"]


@pytest.mark.usefixtures("handled")
def test_plain_lines_are_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    log_setup.set_up("hub", logging.WARNING, as_json=False)
    logging.getLogger(log_setup.NOTICES).info("listening")
    logging.getLogger(log_setup.NOTICES).error("ends: http://me:secret@host/")
    logging.getLogger("actors.x").warning("hm")
    assert capfd.readouterr().err.splitlines() == [
        "shoal: listening",
        "shoal: error: ends: http://***@host/",
        "shoal hub: WARNING actors.x: hm",
    ]


def test_how_a_process_is_includes_how_often_it_was_started_again() -> None:
    seen = ProcessStats(process="hub", pid=7, pss_bytes=5, cpu_s=1.5, threads=2, fds=3)
    health = Health("front", now_s=10.0)
    health.ready("hub", now_s=12.0)
    health.lost("hub")
    health.ready("hub", now_s=20.0)
    (shown,) = health.reports([seen], now_s=25.0)
    assert (shown.process, shown.restarts, shown.age_s, shown.memory_bytes) == ("hub", 1, 5.0, 5)
