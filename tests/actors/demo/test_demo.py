"""The demonstration's network and mirrors: they start and serve from wherever `actors` is installed, and end."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

from actors.demo.child_process import ROOT
from actors.demo.content import Content
from actors.demo.mirrors.box import MirrorBox
from actors.demo.mirrors.mirror import Behavior as MirrorBehavior
from actors.demo.soulseek.behavior import Behavior
from actors.demo.soulseek.network import DemoNetwork
from actors.demo.soulseek.shares import remote_path
from tests.real_peers.raw_downloader import RawDownloader

CONTENT = Content(300_000, seed=3)
NAME = "01 - Tide.flac"

FAR_AWAY = """
import sys
sys.path.insert(0, sys.argv[1])
from actors.demo.content import Content
from actors.demo.mirrors.box import MirrorBox
from actors.demo.mirrors.mirror import Behavior as MirrorBehavior
from actors.demo.soulseek.behavior import Behavior
from actors.demo.soulseek.network import DemoNetwork
content = Content(1000)
with MirrorBox({"m": MirrorBehavior()}, content, "f.bin") as mirrors:
    with DemoNetwork({"u": Behavior()}, content, "f") as net:
        print(len(mirrors.urls), net.server_port > 0)
"""


def test_every_mirror_serves_the_whole_content() -> None:
    behaviors = {"a": MirrorBehavior(), "b": MirrorBehavior(ranges=False)}
    with MirrorBox(behaviors, CONTENT, "file name.bin") as box:
        for url in box.urls:
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert hashlib.sha256(answer.read()).hexdigest() == CONTENT.sha256


def test_every_user_is_found_and_sends_the_whole_content() -> None:
    behaviors = {"a": Behavior(), "b": Behavior(firewalled=True)}
    with DemoNetwork(behaviors, CONTENT, NAME) as net, RawDownloader(net.server_port, "me") as me:
        assert set(me.search(net.term, 2)) == {"a", "b"}
        for name in behaviors:
            sock, got = me.ride(name, remote_path(name, NAME), 0, CONTENT.size)
            sock.close()
            assert hashlib.sha256(got).hexdigest() == CONTENT.sha256


def test_children_find_their_modules_below_a_package_folder_and_from_any_current_folder(tmp_path: Path) -> None:
    inner = tmp_path / "site-packages" / "shoal"
    shutil.copytree(ROOT / "actors" / "demo", inner / "actors" / "demo")
    (inner / "actors" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-P", "-c", FAR_AWAY, str(inner)], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert (done.stdout.split(), done.stderr) == (["1", "True"], "")
