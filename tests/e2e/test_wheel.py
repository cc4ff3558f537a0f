"""Installed program: a wheel built from this tree works in an environment that cannot see the checkout.

The environment holds the wheel and, by path, the libraries of the environment that runs the tests. Its `.pth` file
names their folder only; `.pth` files inside that folder (an editable install of this very checkout) are not followed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from pathlib import Path

import pytest

from actors.runtime.free_ports import free_ports
from tests.e2e.program import ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin/shoal`` of a fresh environment with the wheel in it."""
    home = tmp_path_factory.mktemp("venv") / "venv"
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", str(home)], check=True, timeout=60)
    python = home / "bin" / "python"
    install = [base, "-m", "pip", "--python", str(python), "install", "-q", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    (packages,) = (home / "lib").glob("python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return home / "bin" / "shoal"


@pytest.fixture
def away(tmp_path: Path) -> dict[str, str]:
    """The variables of a user who has never run the program."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}


def run(program: Path, *words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *words], cwd=env["HOME"], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_everything_in_the_wheel_lies_below_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"shoal"}
    rooms = {name.split("/")[1] for name in names if name.startswith("shoal/")}
    assert rooms == {"__main__.py", "actors", "protocol", "storage"}


def test_the_installed_program_says_its_version(program: Path, away: dict[str, str]) -> None:
    ran = run(program, "--version", env=away)
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "shoal"), ran.stderr
    asked = "import importlib.metadata as m; print(m.version('shoal'))"
    python = [str(program.parent / "python"), "-c", asked]
    recorded = subprocess.run(python, env=away, capture_output=True, text=True, timeout=60, check=True).stdout
    assert ran.stdout.split()[1] == recorded.strip()


def test_the_installed_program_cannot_see_the_checkout(program: Path, away: dict[str, str]) -> None:
    """Else the other tests of this file would prove nothing."""
    python = [str(program.parent / "python"), "-c", "import actors"]
    tried = subprocess.run(python, cwd=away["HOME"], env=away, capture_output=True, text=True, timeout=60, check=False)
    assert "ModuleNotFoundError" in tried.stderr


@pytest.mark.parametrize("kind", ["http", "soulseek"])
def test_the_installed_demo_downloads_its_file(program: Path, away: dict[str, str], kind: str) -> None:
    ran = run(program, "demo", "--kind", kind, env=away)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "content: the same as the original" in ran.stdout + ran.stderr


def test_the_installed_daemon_answers_and_ends_in_order(program: Path, away: dict[str, str]) -> None:
    (port,) = free_ports(1)
    config = Path(away["HOME"], "shoal.toml")
    config.write_text(f'[api]\nport = {port}\n[daemon]\ndownloads = "{away["HOME"]}"\n')
    config.chmod(0o600)
    daemon = subprocess.Popen(
        [str(program), "daemon", "--config", str(config)],
        cwd=away["HOME"], env=away, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert daemon.stderr is not None
        for line in daemon.stderr:
            if str(port) in line:
                break
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            assert answer.status == 200
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=30) == 0
    finally:
        daemon.kill()
        daemon.wait()
