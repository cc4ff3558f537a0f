"""The demonstration: users or mirrors on this machine, sized for ten to fifteen seconds, and the job that uses them."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from hashlib import file_digest
from typing import Any

from actors.demo.content import Content
from actors.demo.mirrors.box import MirrorBox
from actors.demo.mirrors.mirror import Behavior as MirrorBehavior
from actors.demo.soulseek.behavior import Behavior
from actors.demo.soulseek.network import DemoNetwork
from actors.local.download import fetch
from protocol.cli.parsing import DemoOptions, GetOptions
from protocol.cli.views.base import make_view
from protocol.cli.views.outcome import ExitCode, exit_code_of
from protocol.config.settings import Account
from protocol.model.job_spec import JobSpec, TransferPolicy

MEGABYTE = 1_000_000
CONTENT = Content(64 << 20, seed=2022)
SHARED_FILE = "01 - Tide.wav"
MIRRORED_FILE = "demo.bin"

USERS: dict[str, tuple[str, Behavior]] = {
    "fast": ("2.6 MB/s, honest", Behavior(rate_bytes_s=2.6 * MEGABYTE, set_up_s=0.2)),
    "limited": ("1.2 MB/s, honest", Behavior(rate_bytes_s=1.2 * MEGABYTE, set_up_s=0.3)),
    "bursty": (
        "0.9 MB/s, a second's worth at once, then silence",
        Behavior(rate_bytes_s=0.9 * MEGABYTE, burst_s=1.0, set_up_s=0.3),
    ),
    "trickle": ("2 KB/s", Behavior(rate_bytes_s=2_000.0, set_up_s=0.3)),
    "from_zero": (
        "0.7 MB/s, refuses to begin anywhere but at byte 0",
        Behavior(rate_bytes_s=0.7 * MEGABYTE, refuse_offsets=True, set_up_s=0.3),
    ),
    "queued": (
        "1.0 MB/s, three others are before us",
        Behavior(rate_bytes_s=1.0 * MEGABYTE, queue_before_us=3, queue_step_s=1.0, set_up_s=0.3),
    ),
    "dying": (
        "1.0 MB/s, leaves for good after 5 MB",
        Behavior(rate_bytes_s=1.0 * MEGABYTE, dies_after_bytes=5 * MEGABYTE, set_up_s=0.3),
    ),
    "silent": ("accepts everything, sends nothing", Behavior(no_bytes=True, set_up_s=0.3)),
    "firewalled": (
        "0.9 MB/s, cannot be called, only calls",
        Behavior(rate_bytes_s=0.9 * MEGABYTE, firewalled=True, set_up_s=0.3),
    ),
}
"""The users of the demonstration by name, each with the line that introduces it."""

MIRRORS: dict[str, tuple[str, MirrorBehavior]] = {
    "fast": ("3.6 MB/s, honest", MirrorBehavior(rate_bytes_s=3.6 * MEGABYTE)),
    "medium": ("1.8 MB/s, honest", MirrorBehavior(rate_bytes_s=1.8 * MEGABYTE, latency_s=0.05)),
    "slow": ("0.2 MB/s, honest", MirrorBehavior(rate_bytes_s=0.2 * MEGABYTE, latency_s=0.2)),
    "stalling": (
        "1.5 MB/s, but not one byte more after 4 MB",
        MirrorBehavior(rate_bytes_s=1.5 * MEGABYTE, stall_after_bytes=4 * MEGABYTE),
    ),
    "refusing": (
        "0.8 MB/s, knows no ranges: all or nothing",
        MirrorBehavior(rate_bytes_s=0.8 * MEGABYTE, ranges=False),
    ),
    "dropping": (
        "1.2 MB/s, hangs up after every 3 MB",
        MirrorBehavior(rate_bytes_s=1.2 * MEGABYTE, drop_every_bytes=3 * MEGABYTE),
    ),
}
"""The mirrors of the demonstration, likewise."""


def demo(options: DemoOptions) -> int:
    """Run ``demo`` and return the exit code."""
    if options.page:
        from actors.demo.page import page_demo

        users = {name: behavior for name, (_, behavior) in USERS.items()}
        return page_demo(options, users, {name: behavior for name, (_, behavior) in MIRRORS.items()})
    if options.fleet:
        from actors.demo.fleet import fleet_demo

        return fleet_demo(options)
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
    """Start the Soulseek network, until `leaving`; the job to run, and the SHA-256 of what must arrive."""
    behaviors = {name: behavior for name, (_, behavior) in USERS.items()}
    network = leaving.enter_context(DemoNetwork(behaviors, CONTENT, SHARED_FILE))
    megabytes = CONTENT.size >> 20
    say(options, f"a Soulseek network on this machine; {len(USERS)} users share the same {megabytes} MiB file:")
    for name, (line, _) in USERS.items():
        say(options, f"  {name}: {line}")
    account = Account(
        username="you",
        password="demo",
        server_host=network.server_host,
        server_port=network.server_port,
        bind_host="127.0.0.1",
        sharing=False,
    )
    patience = TransferPolicy(patience_s=0.0)  # the swarm is to be seen though the file is small
    spec = JobSpec(folder=folder, term=network.term, size_bytes=CONTENT.size, policy=patience)
    wanted = _demo_options(options, spec, account=account)
    return wanted, CONTENT.sha256


def demo_mirrors(options: DemoOptions, folder: str, leaving: ExitStack) -> tuple[GetOptions, str]:
    """Start the mirrors, until `leaving`; the job to run, and the SHA-256 of what must arrive."""
    behaviors = {name: behavior for name, (_, behavior) in MIRRORS.items()}
    box = leaving.enter_context(MirrorBox(behaviors, CONTENT, MIRRORED_FILE))
    say(options, f"{len(MIRRORS)} mirrors on this machine hold the same {CONTENT.size >> 20} MiB file:")
    for name, (line, _) in MIRRORS.items():
        say(options, f"  {box.url(name)}  {name}: {line}")
    spec = JobSpec(folder=folder, name=MIRRORED_FILE, checksum=f"sha256:{CONTENT.sha256}")
    return _demo_options(options, spec, urls=tuple(box.urls)), CONTENT.sha256


def _demo_options(options: DemoOptions, spec: JobSpec, **changed: Any) -> GetOptions:
    return GetOptions(spec=spec, json=options.json, quiet=options.quiet, verbose=options.verbose, **changed)


def say(options: DemoOptions, line: str) -> None:
    """Write a line to stderr, unless quiet."""
    if not options.quiet:
        sys.stderr.write(line + "\n")
