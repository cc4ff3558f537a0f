"""Connections bound to an interface, in network namespaces: all of them end with it, none goes by another route."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.far_mirror import content
from tests.e2e.program import ROOT

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces can be made by root only"
    ),
]

SIZE = 6_000_000
FAR = "10.99.0.1"
VPN, OTHER = "10.77.0.1", "10.78.0.1"
WAIT_S = 60.0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


class Lab:
    """Two namespaces with two links between them; `FAR` can be reached by both, the second is the usual way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.near, self.far = f"shoal-a{os.getpid()}", f"shoal-b{os.getpid()}"
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in (self.near, self.far):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for link, network in (("vpn", "10.77.0"), ("out", "10.78.0")):
            ip("-n", self.near, "link", "add", link, "type", "veth", "peer", "name", link, "netns", self.far)
            for name, last in ((self.near, "1"), (self.far, "2")):
                ip("-n", name, "addr", "add", f"{network}.{last}/24", "dev", link)
                ip("-n", name, "link", "set", link, "up")
        ip("-n", self.far, "addr", "add", f"{FAR}/32", "dev", "lo")
        ip("netns", "exec", self.near, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/out/disable_ipv6")  # it sends, too
        self.route_out()
        self.route_vpn()
        self.log = folder / "callers"
        self._start(self.far, "-m", "tests.e2e.far_mirror", FAR, "8000", str(SIZE), "1000000", to=self.log)

    def route_out(self) -> None:
        ip("-n", self.near, "route", "add", FAR, "via", "10.78.0.2", "dev", "out", "metric", "1")

    def route_vpn(self) -> None:
        ip("-n", self.near, "route", "add", FAR, "via", "10.77.0.2", "dev", "vpn", "metric", "100")

    def vpn(self, state: str) -> None:
        ip("-n", self.near, "link", "set", "vpn", state)
        if state == "up":
            self.route_vpn()

    def _start(self, namespace: str, *words: str, to: Path) -> subprocess.Popen[bytes]:
        with to.open("wb") as out:
            command = ["ip", "netns", "exec", namespace, sys.executable, *words]
            env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(self.folder)}
            made = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=self.folder)
        self._processes.append(made)
        return made

    def get(self, *words: str) -> subprocess.Popen[bytes]:
        return self._start(self.near, str(ROOT / "run.py"), "get", *words, to=self.folder / "said")

    def until(self, is_so: Callable[[], bool]) -> None:
        due_s = time.monotonic() + WAIT_S
        while not is_so():
            assert time.monotonic() < due_s, self.said
            time.sleep(0.05)

    @property
    def callers(self) -> list[str]:
        """Addresses of all requests; what broke off is reported beside them."""
        return [line for line in self.log.read_text().splitlines() if re.fullmatch(r"10\.[0-9.]+", line)]

    @property
    def sent_outside(self) -> int:
        """Packets that have left by the usual way."""
        command = ["ip", "-j", "-s", "-n", self.near, "link", "show", "out"]
        done = subprocess.run(command, check=True, capture_output=True, timeout=10)
        return int(json.loads(done.stdout)[0]["stats64"]["tx"]["packets"])

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def stored(self, name: str) -> int:
        part = self.folder / f"{name}.part.records"
        return part.stat().st_size if part.exists() else 0

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(timeout=10)
        for name in (self.near, self.far):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=10)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.close()


def _is_listening(lab: Lab) -> bool:
    probe = f"import socket; socket.create_connection(({FAR!r}, 8000), 1)"
    words = ["ip", "netns", "exec", lab.near, sys.executable, "-c", probe]
    return subprocess.run(words, check=False, capture_output=True, timeout=20).returncode == 0


@pytest.mark.parametrize("interface", ["vpn", VPN])
@pytest.mark.parametrize("loss", ["down", "address"])
def test_a_download_stops_with_its_interface_and_goes_on_with_it(lab: Lab, interface: str, loss: str) -> None:
    lab.until(lambda: _is_listening(lab))
    outside = lab.sent_outside
    going = lab.get("--interface", interface, f"http://{FAR}:8000/f.bin", "--chunk-size", "64K", "-v")
    lab.until(lambda: lab.stored("f.bin") > 200)
    if loss == "down":
        lab.vpn("down")
    else:
        ip("-n", lab.near, "addr", "flush", "dev", "vpn")
    lab.until(lambda: "waits until it is back" in lab.said)
    held = lab.stored("f.bin")
    calls = len(lab.callers)
    time.sleep(3.0)
    assert lab.stored("f.bin") == held
    assert len(lab.callers) == calls
    assert going.poll() is None
    if loss == "address":
        ip("-n", lab.near, "addr", "add", f"{VPN}/24", "dev", "vpn")
        lab.route_vpn()
    else:
        lab.vpn("up")
    assert going.wait(timeout=WAIT_S) == 0, lab.said
    assert (lab.folder / "f.bin").read_bytes() == content(SIZE)
    assert set(lab.callers) == {VPN}
    assert lab.sent_outside - outside < 10, "packets of this address left by the usual way"


def test_an_interface_that_is_not_there_is_refused_at_once(lab: Lab) -> None:
    going = lab.get("--interface", "wg7", f"http://{FAR}:8000/f.bin")
    assert going.wait(timeout=WAIT_S) == 2
    assert lab.said == "error: --interface: interface wg7 is gone\n"


def test_a_soulseek_download_stops_with_its_interface_and_goes_on_with_it(lab: Lab) -> None:
    folder = lab.folder / "users"
    folder.mkdir()
    command = ["ip", "netns", "exec", lab.near, sys.executable, "-m", "tests.e2e.bound_users", str(folder)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(lab.folder)}
    done = subprocess.run(command, check=False, capture_output=True, timeout=400, env=env)
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    assert (saw["code"], saw["right"], saw["still"]) == (0, True, True), saw
    assert saw["said"].index("interface lo is down: waits") < saw["said"].rindex("Soulseek: logged in")
    assert "the server closed the connection" not in saw["said"], saw
    ports, without, again = saw["ports"]
    assert set(without) < set(ports), "it listens while its interface is gone"
    assert again == ports, "routers and users know the port of before"
