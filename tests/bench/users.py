"""What the benches of Soulseek share: our program logged in to a box, its events with the times they came at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import measuring
from tests.soulseek_network.network import Network

Event = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One finished run. `events` are its JSON lines, each with the second it came at, from the start on."""

    exit_code: int
    cpu_s: float
    events: list[tuple[float, Event]]
    errors: str

    @property
    def ended(self) -> Event:
        """The last word; empty when there is none."""
        return self.events[-1][1] if self.events and self.events[-1][1].get("event") == "job_ended" else {}

    @property
    def flowing(self) -> tuple[float, int]:
        """When the first report with stored bytes came, and how many they were; (0.0, 0) when none did."""
        marks = ((at_s, shown["bytes_stored"]) for at_s, shown in self.events if shown.get("event") == "progress")
        return next(((at_s, stored) for at_s, stored in marks if stored > 0), (0.0, 0))

    @property
    def flow_bytes_s(self) -> float:
        """Mean rate from the first report with stored bytes to the end: what came before and set-up do not count."""
        begin_s, begin = self.flowing
        if not begin or not self.ended:
            return 0.0
        return float(self.ended["size"] - begin) / max(self.events[-1][0] - begin_s, 1e-6)

    @property
    def stops(self) -> list[int]:
        """How often each user was hung up on."""
        return [int(row["stops"]) for row in self.ended.get("sources", [])]

    def trouble(self) -> str:
        """Why there is no file, in one line."""
        return f"exit code {self.exit_code}, said: {(self.errors.strip() or 'nothing').splitlines()[-1][:300]}"


def play(
    box: Network, path: Path, *words: str, state: Path, limit_s: float, name: str = "bench", verb: str = "get"
) -> Played:
    """``run.py get WORDS -o path`` as user `name` of this box, peers remembered in `state`."""
    report = path.parent / f"{path.name}.report.json"
    errors = path.parent / f"{path.name}.errors"
    program: list[str | Path] = [
        sys.executable,
        measuring.ROOT / "run.py",
        verb,
        *words,
        "-o",
        path,
        "--json",
        "--sync",
        "none",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    account = {"USERNAME": name, "PASSWORD": "bench", "SERVER": box.server_host, "PORT": str(box.server_port)}
    environment |= {f"SHOAL_SOULSEEK_{key}": value for key, value in account.items()}
    environment |= {"SHOAL_SOULSEEK_BIND": "127.0.0.1", "SHOAL_STATE": str(state)}
    events: list[tuple[float, Event]] = []
    begun_s = time.perf_counter()
    with errors.open("wb") as said:
        command = [sys.executable, "-m", "tests.bench.launcher", report, *program]
        process = subprocess.Popen(
            command, cwd=measuring.ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdout is not None
        for line in process.stdout:
            events.append((time.perf_counter() - begun_s, json.loads(line)))
            if time.perf_counter() - begun_s > limit_s:
                process.terminate()
        process.wait()
    shown = json.loads(report.read_text()) if report.exists() else {"exit_code": -1, "cpu_s": 0.0}
    text = errors.read_text(errors="replace")
    for leftover in (report, errors):
        leftover.unlink(missing_ok=True)
    return Played(exit_code=int(shown["exit_code"]), cpu_s=float(shown["cpu_s"]), events=events, errors=text)


def users_words(box: Network, names: Sequence[str]) -> list[str]:
    """The addresses of these users' files."""
    return [box.url(name) for name in names]
