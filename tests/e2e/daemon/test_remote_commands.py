"""A running daemon driven from the shell: every command, on real processes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from protocol.model.integrity.metalink import read_metalink, write_metalink
from tests.e2e.daemon.daemons import Daemon, eventually, running
from tests.e2e.program import ROOT, Done, Running, Shoal
from tests.e2e.test_display import Terminal
from tests.http_mirrors.box import Box, mirrors
from tests.http_mirrors.box import Character as Mirror
from tests.soulseek_network.network import Character, Content, Network, network
from tests.wild.server import File, Reply, Request, WildServer

pytestmark = pytest.mark.long

CONTENT = Content(3_000_000, seed=41)
USERS = {"ann": Character(rate_bytes_s=2e6), "bob smith": Character(rate_bytes_s=1e6), "cid": Character()}
CONFIG = "[daemon]\nallow_private_sources = true\nmax_active_jobs = 20\n"


class House:
    """One daemon for all of these tests, with an account, mirrors, and this user's own state."""

    def __init__(self, daemon: Daemon, users: Network, web: Box) -> None:
        self.daemon = daemon
        self.users = users
        self.web = web
        self.downloads = daemon.shoal.folder.parent / "downloads"
        self.env = {"SHOAL_URL": daemon.url, "SHOAL_STATE": str(daemon.state), "XDG_CONFIG_HOME": "/nowhere"}

    def start(self, *words: str | Path, **env: str) -> Running:
        return self.daemon.shoal.start(*words, env={**self.env, **env})

    def run(self, *words: str | Path, **env: str) -> Done:
        return self.start(*words, **env).finish()

    def rows(self, *words: str) -> list[Any]:
        """``... --json``."""
        done = self.run(*words, "--json")
        assert done.code == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def order(self, name: str, *mirrors: str) -> str:
        """A job by the API; its id."""
        body = {"filename": name, "fileSize": CONTENT.size, "sources": [{"url": self.web.url(one)} for one in mirrors]}
        response = self.daemon.client.post("/api/v0/multisource/download", json=body)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def state_of(self, id: str) -> str:
        return str(self.daemon.get(f"/api/v0/multisource/jobs/{id}")["state"])

    def stored(self, id: str) -> int:
        return int(self.daemon.get(f"/api/v0/multisource/jobs/{id}")["storedBytes"])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house") / "work"
    folder.mkdir()
    shoal = Shoal(folder)
    web = {
        "fast": Mirror(rate_bytes_s=2e6),
        "other": Mirror(rate_bytes_s=2e6),
        "calm": Mirror(rate_bytes_s=3e5),
        "stuck": Mirror(stall_after_bytes=1_500_000),
    }
    try:
        with network(USERS, CONTENT) as users, mirrors(web, CONTENT) as box:
            account = {
                "USERNAME": "me", "PASSWORD": "any", "SERVER": users.server_host, "PORT": str(users.server_port),
                "BIND": "127.0.0.1",
            }  # fmt: skip
            env = {f"SHOAL_SOULSEEK_{name}": word for name, word in account.items()}
            with running(shoal, config=CONFIG, XDG_CONFIG_HOME="/nowhere", **env) as daemon:
                daemon.process.run_s_max = 600.0
                yield House(daemon, users, box)
        shoal.check()
    finally:
        shoal.clean_up()


def test_logins_and_cookies_of_the_users_files_connections_and_a_command_go_with_an_order(house: House) -> None:
    cookie, asked = "127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tc00kie", list[tuple[str, str]]()
    file = File(bytes(range(256)) * 4000)

    def guarded(request: Request, reply: Reply) -> bool:
        asked.append((request.fields.get("cookie", ""), request.fields.get("authorization", "")))
        if asked[-1] != ("session=c00kie", "Basic bWU6dzByZA=="):
            reply.head("401 Unauthorized", "Content-Length: 0")
            return True
        return file(request, reply)

    folder = house.daemon.shoal.folder
    (folder / "cookies.txt").write_text(f"{cookie}\nother.test\tFALSE\t/\tFALSE\t0\tx\tpriv8\n")
    (folder / "logins").write_text("machine 127.0.0.1 login me password w0rd\n")
    (folder / "logins").chmod(0o600)
    server = WildServer(guarded)
    try:
        done = house.run(
            "get", "--daemon", server.url("/guarded.bin"), "--cookie-file", "cookies.txt", "--netrc-file", "logins",
            "-x", "2", "--on-complete", "cp {} copy.bin",
        )  # fmt: skip
    finally:
        server.close()
    assert done.code == 0, done.stderr
    assert "goes by its own" not in done.stderr
    assert (folder / "copy.bin").read_bytes() == file.data
    assert set(asked) == {("session=c00kie", "Basic bWU6dzByZA==")}
    (row,) = house.rows("jobs", "--state", "sealed", "--limit", "1")
    job = house.daemon.get(f"/api/v0/multisource/jobs/{row['id']}")
    assert [one["url"].partition("#")[2] for one in job["sources"]] == ["", "connection-2"]
    held = [path for path in house.daemon.state.rglob("*") if path.is_file() and not path.is_socket()]
    assert not [path for path in held if b"c00kie" in path.read_bytes() or b"priv8" in path.read_bytes()]


def test_a_time_limit_ends_a_job_of_the_daemon(house: House) -> None:
    done = house.run("get", "--daemon", house.web.url("stuck"), "-o", "late.bin", "--max-time", "2")
    assert done.code == 3
    assert done.stderr.splitlines()[-1].startswith("time is up: not complete within 2 s")


def test_a_job_whose_size_is_not_known_is_shown_while_it_is_fetched(house: House) -> None:
    go_on = threading.Event()

    def endless(_request: Request, reply: Reply) -> bool:
        reply.head("200 OK", "Transfer-Encoding: chunked")
        reply.raw(b"%x\r\n%b\r\n" % (300_000, bytes(300_000)))
        go_on.wait(60)
        reply.raw(b"0\r\n\r\n")
        return True

    server = WildServer(endless)
    try:
        going = house.start("get", "--daemon", server.url("/unsized.bin"))
        begun: list[str] = []

        def stored() -> bool:
            begun[:] = [row["id"] for row in house.rows("jobs") if row["storedBytes"] and row["name"] == "unsized.bin"]
            return bool(begun)

        eventually(stored)
        (source,) = house.daemon.get(f"/api/v0/multisource/jobs/{begun[0]}")["sources"]
        assert source["leaseStop"] is None
        go_on.set()
        assert going.finish().code == 0
    finally:
        go_on.set()
        server.close()


def test_a_login_that_is_lacking_ends_a_job_of_the_daemon_with_words(house: House) -> None:
    def guarded(_request: Request, reply: Reply) -> bool:
        reply.head("401 Unauthorized", "Content-Length: 0")
        return True

    server = WildServer(guarded)
    try:
        going = house.start("get", "--daemon", server.url("/secret.bin"))
        eventually(lambda: house.rows("jobs", "--limit", "1")[0]["state"] == "queued")
        (row,) = house.rows("jobs", "--limit", "1")
        assert "401 Unauthorized" in row["reason"]
        assert "tried again in 30 s" in row["reason"]
        house.run("cancel", row["id"])
        assert going.finish().code != 0
    finally:
        server.close()


# the pool


def test_a_pool_is_found_listed_and_swarmed_from(house: House) -> None:
    found = house.run("pool", "refresh", house.users.term, "1")
    assert found.code == 0
    assert found.stdout.splitlines()[0].split() == ["size", "sources", "free", "speed", "queue", "sure", "by", "name"]
    (row,) = [line for line in house.run("pool", "targets").stdout.splitlines() if f"({CONTENT.size})" in line]
    assert row.split()[3] == "3"
    added = house.run("pool", "add", house.web.url("fast"), "--size", str(CONTENT.size))
    assert added.stdout == "01 - Tide.flac: 4 sources\n"
    assert stat.S_IMODE((house.daemon.state / "pool.json").stat().st_mode) == 0o600

    done = house.run("swarm", str(CONTENT.size), "64", "-o", "pool/", "--json")
    assert done.code == 0
    assert [event["event"] for event in done.events[:2]] == ["job", "job_opened"]
    assert done.events[1]["chunk_size"] == 65536
    assert len(done.ended["sources"]) == 4
    assert done.ended["path"] == str(house.downloads / "pool" / "01 - Tide.flac")
    assert CONTENT.matches(house.downloads / "pool" / "01 - Tide.flac")


def test_everybody_races_for_a_file_of_the_pool(house: House) -> None:
    for name in ("fast", "other"):
        house.run("pool", "add", house.web.url(name), "--size", str(CONTENT.size))
    race = house.run("race", str(CONTENT.size), "-o", "race/x.flac", "--json")
    assert race.code == 0
    assert CONTENT.matches(house.downloads / "race" / "x.flac")
    (job,) = house.rows("jobs", "--state", "sealed", "--limit", "1")
    assert (job["name"], job["mode"]) == ("x.flac", "race")


def test_auto_searches_again_fetches_what_most_have_and_checks_it(house: House) -> None:
    done = house.run("auto", house.users.term, "1", "-o", "auto/")
    assert done.code == 0, done.stderr
    lines = done.stderr.splitlines()
    digest = next(line for line in lines if line.startswith("check: xxh3_128 of the file is what the daemon says: "))
    assert lines.index(digest) == len(lines) - 1
    assert lines[-2].startswith("check: all of ")
    assert len(list((house.downloads / "auto").iterdir())) == 1


def test_nothing_found_is_exit_code_3(house: House) -> None:
    done = house.run("pool", "refresh", "no such thing", "1")
    assert (done.code, done.stderr) == (3, "nothing found for 'no such thing'\n")


# get and swarm, handed over


def test_get_hands_over_and_nothing_is_fetched_here(house: House) -> None:
    before = house.daemon.shoal.files
    urls = (house.web.url("fast"), house.web.url("other"))
    done = house.run("get", *urls, "--daemon", "-o", "got/a.bin", "--json", "--checksum", f"sha256:{CONTENT.sha256}")
    assert done.code == 0
    assert done.ended["state"] == "sealed"
    assert sum(done.given.values()) == CONTENT.size
    assert CONTENT.matches(house.downloads / "got" / "a.bin")
    assert house.daemon.shoal.files == before


def test_a_metalink_is_handed_over_and_a_job_is_described(house: House) -> None:
    document = house.daemon.shoal.folder / "x.meta4"
    urls = [house.web.url(name) for name in house.web.names[:2]]
    digest = f"sha256:{CONTENT.sha256}"
    document.write_text(write_metalink("described.bin", CONTENT.size, checksums=[digest], pieces=None, urls=urls))
    done = house.run("get", "--daemon", "x.meta4", "--json")
    assert done.code == 0, done.stderr
    job = next(row for row in house.rows("jobs") if row["name"] == "described.bin")
    assert (job["state"], job["checksum"]) == ("sealed", digest)
    done = house.run("export", job["path"], "--job", job["id"], "-o", "-")
    (file,) = read_metalink(done.stdout.encode()).files
    assert (done.code, file.checksum) == (0, digest)
    assert file.urls
    assert set(file.urls) <= set(urls)
    done = house.run("export", job["path"], "--manifest", "--job", job["id"], "-o", "-")
    manifest = json.loads(done.stdout)
    assert manifest["sha256"] == CONTENT.sha256
    assert {row["source"] for row in manifest["ranges"]} <= set(urls)
    assert sum(len(row["digests"]) for row in manifest["ranges"]) == -(-CONTENT.size // manifest["chunkSize"])


def test_swarm_with_words_hands_over_and_takes_what_most_have(house: House) -> None:
    done = house.run("swarm", house.users.term, "--url", house.daemon.url, "--size", str(CONTENT.size), "-o", "words/")
    assert done.code == 0, done.stderr
    assert CONTENT.matches(house.downloads / "words" / "01 - Tide.flac")


def test_a_job_s_own_exit_code_is_the_command_s(house: House) -> None:
    done = house.run("get", house.web.url("fast"), "--daemon", "-o", "bad.bin", "--checksum", f"md5:{'0' * 32}")
    assert done.code == 4
    last = done.stderr.splitlines()[-1]
    assert last.startswith("content disagrees: ")


def test_a_folder_that_the_daemon_does_not_allow_is_refused_in_one_line(house: House) -> None:
    done = house.run("get", house.web.url("fast"), "--daemon", "-o", "/etc/x.bin")
    assert done.code == 8
    assert done.the_line == "error: folder: it is not inside the download folder or another that is configured"


# jobs


def test_orders_are_obeyed_and_reported_by_the_beginnings_of_ids(house: House) -> None:
    house.web.become("stuck", Mirror(stall_after_bytes=1_500_000))
    id = house.order("orders.bin", "stuck")
    eventually(lambda: house.stored(id) > 0)
    short = id[:13]
    assert house.run("pause", short).stdout.startswith(f"{id[:8]} paused: orders.bin (")
    assert [job["id"] for job in house.rows("jobs", "--state", "paused")] == [id]
    assert house.run("why", short).stdout == "paused: by the user; it goes on when it is resumed\n"
    assert house.run("resume", short).code == 0
    assert house.run("cancel", short).stdout.startswith(f"{id[:8]} cancelled: orders.bin (")
    assert house.run("job", short).code == 6


def test_a_job_is_limited_retried_watched_and_forgotten(house: House) -> None:
    house.web.become("stuck", Mirror(stall_after_bytes=1_500_000))
    id = house.order("again.bin", "stuck")
    short = id[:13]
    assert house.run("limit", "100K", "--job", short).stdout.startswith("at most 100.0 KiB/s, now ")
    assert house.rows("limit", "--job", short)[0]["limit"] == 102_400
    refused = house.run("delete", short)
    assert (refused.code, refused.stderr.count("\n")) == (8, 1)
    assert house.run("limit", "0", "--job", short).stdout.startswith("no limit, now ")
    assert house.rows("cancel", short)[0]["state"] == "cancelled"
    house.web.become("stuck", Mirror())
    assert house.run("retry", short).code == 0
    assert house.run("job", short, "--quiet").code == 0
    assert CONTENT.matches(house.downloads / "again.bin")
    table = house.run("jobs", "--state", "sealed", "--limit", "1").stdout.splitlines()
    assert table[0].split() == ["id", "state", "done", "size", "rate", "left", "sources", "name"]
    assert table[1].split()[:3] == [id[:8], "sealed", "100"]
    assert house.run("delete", short).stdout.startswith(f"deleted {id[:8]} sealed: again.bin")
    gone = house.run("why", short)
    assert (gone.code, gone.the_line) == (8, f"error: no job has an id that begins with {short}")


def test_the_limit_of_all_jobs_is_set_shown_and_given_back(house: House) -> None:
    assert house.run("limit", "5M").stdout == "at most 5.0 MiB/s, now 0 B/s\n"
    assert house.rows("limit")[0]["limit"] == 5 << 20
    assert house.run("limit", "auto").stdout.startswith("no limit, now ")
    by_time = house.run("limit", "--schedule", "0:00-24:00 3M", "--schedule", "mon-fri 8:00-18:00 500K")
    assert by_time.stdout.splitlines() == [
        "at most 3.0 MiB/s, now 0 B/s",
        "daily 00:00-24:00: at most 3.0 MiB/s",
        "mon-fri 08:00-18:00: at most 500.0 KiB/s",
    ]
    assert len(house.rows("limit")[0]["schedule"]) == 2
    assert house.run("limit", "--schedule", "off").stdout == "no limit, now 0 B/s\n"


def test_ctrl_c_leaves_a_job_that_goes_on(house: House) -> None:
    house.web.become("stuck", Mirror(stall_after_bytes=1_500_000))
    id = house.order("left.bin", "stuck")
    watching = house.start("job", id[:12], "--json")
    watching.until(lambda event: event["event"] == "progress" and event["bytes_stored"] > 0)
    watching.signal(signal.SIGINT)
    left = watching.finish()
    assert left.code == 130
    assert left.the_line == f"left; the job goes on in the daemon: run.py job {id[:8]}"
    assert house.state_of(id) == "active"
    watching = house.start("job", id, "--json")
    watching.until(lambda event: event["event"] == "progress")
    house.daemon.client.post(f"/api/v0/multisource/jobs/{id}/cancel").raise_for_status()
    done = watching.finish()
    assert (done.code, done.ended["state"]) == (6, "cancelled")


def test_a_job_is_watched_across_the_death_of_the_api(house: House) -> None:
    id = house.order("calm.bin", "calm")
    watching = house.start("job", id, "--json")
    watching.until(lambda event: event["event"] == "progress" and event["bytes_stored"] > 0)
    house.daemon.process.await_child("api").kill()
    done = watching.finish()
    assert (done.code, done.ended["state"]) == (0, "sealed")
    assert CONTENT.matches(house.downloads / "calm.bin")


def test_a_job_is_drawn_on_a_terminal_and_left_with_a_key(house: House) -> None:
    house.web.become("stuck", Mirror(stall_after_bytes=1_500_000))
    id = house.order("drawn.bin", "stuck")
    env = {**house.daemon.shoal.env, **house.env}
    terminal = Terminal([str(ROOT / "run.py"), "job", id[:12]], house.daemon.shoal.folder, env)
    terminal.until(f"127.0.0.1:{house.web.port('stuck')}".encode())
    terminal.press(b"\x03")
    assert terminal.finish() == 130
    assert terminal.lines[-2].endswith(f"left; the job goes on in the daemon: run.py job {id[:8]}")
    house.run("cancel", id)


# the monitor


def test_the_monitor_tells_what_happens_to_a_job(house: House) -> None:
    house.web.become("stuck", Mirror(stall_after_bytes=1_500_000))
    monitor = house.start("monitor", "--json")
    plain = house.start("monitor")
    lines: list[str] = []
    priorities = itertools.count(1)
    bell = house.order("bell.bin", "stuck")

    def ring() -> bool:
        """Both listen."""
        tuned = {"priority": next(priorities)}
        house.daemon.client.patch(f"/api/v0/multisource/jobs/{bell}", json=tuned).raise_for_status()
        return monitor.has_news and "job.changed bell.bin" in plain.stderr()

    eventually(ring)
    house.run("cancel", bell)
    id = house.order("seen.bin", "fast")
    kinds = [monitor.until(lambda event: event["job"] == id)["type"]]
    while kinds[-1] != "job.sealed":
        kinds.append(monitor.until(lambda event: event["job"] == id)["type"])
    assert kinds[0] == "job.queued"
    assert "job.progressed" in kinds
    eventually(lambda: "job.sealed seen.bin: " in plain.stderr())
    for one in (monitor, plain):
        one.signal(signal.SIGINT)
        done = one.finish()
        assert done.code == 130
        lines += done.stderr.splitlines()
    assert any(f" {id[:8]} job.queued seen.bin: 2.9 MiB" in line for line in lines)


# what goes wrong


def test_a_wrong_key_is_one_line_and_no_key_is_shown(house: House, tmp_path: Path) -> None:
    for words, env in (
        (["jobs", "--api-key", "wr0ng-key-0123456789"], {}),
        (["job", "3f"], {"SHOAL_API_KEY": "wr0ng-key-0123456789"}),
        (["monitor"], {"SHOAL_API_KEY": "wr0ng-key-0123456789"}),
        (["get", house.web.url("fast"), "--daemon"], {"SHOAL_STATE": str(tmp_path)}),
    ):
        done = house.run(*words, **env)
        assert done.code == 7
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"error: the daemon at {house.daemon.url} does not let in ")
        assert "wr0ng" not in done.stderr


def test_a_key_given_as_an_option_is_taken_out_of_the_process_title(house: House) -> None:
    key = (house.daemon.state / "api-key").read_text().strip()
    monitor = house.start("monitor", "--json", "--api-key", key, SHOAL_STATE="/nowhere")
    title = Path(f"/proc/{monitor.pid}/cmdline")
    eventually(lambda: title.read_bytes().split(b"\0")[-3:-1] == [b"--api-key", b"*" * len(key)])
    eventually(lambda: len(psutil.Process(monitor.pid).net_connections()) == 2)
    monitor.signal(signal.SIGINT)
    assert monitor.finish().code == 130


def test_an_unknown_id_and_no_daemon_are_one_line(house: House) -> None:
    unknown = house.run("job", "00000000-0000-4000-8000-000000000000")
    assert unknown.code == 8
    assert unknown.stderr.count("\n") == 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        away = house.run("jobs", "--url", url)
    assert (away.code, away.the_line) == (
        7,
        f"error: no daemon at {url} (connection refused); start one: shoal daemon",
    )


# the shell


def test_bash_completes_commands_and_ids(house: House, tmp_path: Path) -> None:
    id = house.order("shell.bin", "fast")
    program = tmp_path / "shoal"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom run import shoal\nshoal()\n"
    )
    program.chmod(0o755)
    script = """
        source <(shoal --show-completion) || exit 1
        complete -p shoal
        propose() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _shoal_completion shoal
            echo "${COMPREPLY[@]}"
        }
        propose shoal pa
        propose shoal job "$1"
        SHOAL_URL=http://127.0.0.1:9
        propose shoal job "$1"
    """
    env = {**house.daemon.shoal.env, **house.env, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script, "bash", id[:13]], env=env, capture_output=True, text=True, timeout=50, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["complete -o default -F _shoal_completion shoal", "pause", id, ""]
