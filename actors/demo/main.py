"""Demonstration: a download from users or mirrors that are simulated on this machine, and a check of its bytes."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from hashlib import file_digest
from typing import Any

from actors.demo.mirrors.scenario import DEMO_CONTENT, DEMO_MIRRORS, demo_box
from actors.demo.soulseek.scenario import DEMO_CONTENT as SHARED
from actors.demo.soulseek.scenario import DEMO_PEERS, demo_network
from actors.local.download import fetch
from protocol.cli.exit_codes import ExitCode, exit_code_of
from protocol.cli.parsing import DemoOptions, GetOptions
from protocol.cli.views.base import make_view
from protocol.config.settings import Account


def demo(options: DemoOptions) -> int:
    """Run ``demo`` and return the exit code."""
    with ExitStack() as leaving:
        folder = leaving.enter_context(tempfile.TemporaryDirectory(prefix="shoal-demo-"))
        wanted, sha256 = (demo_mirrors if options.kind == "http" else demo_users)(options, folder, leaving)
        view = make_view(options, sys.stdout, sys.stderr)
        try:
            ended = fetch(wanted, view, memory=os.path.join(folder, "peers.sqlite"))
        finally:
            view.close()
        if ended.state != "sealed":
            return exit_code_of(ended.state)
        with open(ended.path, "rb") as file:
            same = file_digest(file, "sha256").hexdigest() == sha256
        say(options, "content: the same as the original" if same else "content: NOT the same as the original")
        return ExitCode.SEALED if same else ExitCode.DISAGREED


def demo_users(options: DemoOptions, folder: str, leaving: ExitStack) -> tuple[GetOptions, str]:
    """A Soulseek network in a box; what is wanted from it, and what must come."""
    box = leaving.enter_context(demo_network())
    size = SHARED.size
    say(options, f"a Soulseek network on this machine; {len(DEMO_PEERS)} users share the same {size >> 20} MiB file:")
    for peer in DEMO_PEERS:
        say(options, f"  {peer.name}: {peer.line}")
    account = Account(
        username="you",
        password="demo",
        server_host=box.server_host,
        server_port=box.server_port,
        bind_host="127.0.0.1",
        sharing=False,
    )
    wanted = _demo_options(options, folder, term=box.term, wanted_size_bytes=size, account=account)
    return wanted, SHARED.sha256


def demo_mirrors(options: DemoOptions, folder: str, leaving: ExitStack) -> tuple[GetOptions, str]:
    """Mirrors in a box; what is wanted from them, and what must come."""
    box = leaving.enter_context(demo_box())
    say(options, f"{len(DEMO_MIRRORS)} mirrors on this machine hold the same {DEMO_CONTENT.size >> 20} MiB file:")
    for mirror in DEMO_MIRRORS:
        say(options, f"  {box.url(mirror.name)}  {mirror.name}: {mirror.line}")
    urls = tuple(box.url(mirror.name) for mirror in DEMO_MIRRORS)
    checksum = f"sha256:{DEMO_CONTENT.sha256}"
    return _demo_options(options, folder, urls=urls, name="demo.bin", checksum=checksum), DEMO_CONTENT.sha256


def _demo_options(options: DemoOptions, folder: str, **changed: Any) -> GetOptions:
    fields: dict[str, Any] = {
        "urls": (),
        "folder": folder,
        "name": "",
        "chunk_size": 128 << 10,
        "checksum": "",
        "mode": "swarm",
        "limit_bytes_s": 0,
        "preallocate": False,
        "sync": "full",
        "json": options.json,
        "quiet": options.quiet,
        "verbose": options.verbose,
        "slow_rate_bytes_s": 5 << 10,
        "slow_after_s": 15.0,
    }
    return GetOptions(**{**fields, **changed})


def say(options: DemoOptions, line: str) -> None:
    if not options.quiet:
        sys.stderr.write(line + "\n")
