"""Live monitor of a daemon: its active jobs and its events."""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TextIO

from rich.text import Text

from protocol.cli.views.base import can_draw
from protocol.cli.views.job_table import ID_SHOWN, done, name_of
from protocol.cli.views.lines import JsonRows, LineWriter
from protocol.cli.views.live import DIM, DRAW_EVERY_S, LiveRegion, console_on
from protocol.client.http_client import ROOT, Daemon, DaemonError
from protocol.client.sse_client import Gone, Stream
from protocol.model.printable import count_of, printable
from protocol.model.units import show_rate, show_size, show_whole_time

LINES_BESIDE_ROWS: Final = 3
"""The sum, one that says what is not shown, and the line that the cursor is on."""
TICK_S: Final = 0.2
LOOK_S: Final = 1.0
"""Period of asking for the active jobs."""
PLAIN_S: Final = 10.0
"""Period of lines where nothing can be drawn over."""
JOBS_MAX: Final = 200
_FLEETING: Final = "job.progressed"
_MANY: Final = frozenset(("source.changed", "source.added", "source.dropped"))

_TEXTS: Final = ("url", "standing", "state", "text", "outcome", "reason", "detail", "process", "path", "version")
_SIZES: Final = ("size", "sizeBytes", "storedBytes")


class DrawnMonitor:
    """The monitor on a terminal: lines above, a row for each job below. Owns the lower lines until `close`."""

    def __init__(self, stderr: TextIO) -> None:
        self._console = console_on(stderr)
        self._region = LiveRegion(self._console)
        self._above: list[Text] = []
        self._due_s = -math.inf

    def happened(self, line: str) -> None:
        """A line above the rows, with the next draw."""
        self._above.append(Text(line))

    def jobs(self, jobs: Sequence[Mapping[str, Any]], *, now_s: float) -> None:
        """Draw when a draw is due."""
        if now_s >= self._due_s:
            self._due_s = now_s + DRAW_EVERY_S
            above, self._above = self._above, []
            self._region.draw(monitor_lines(jobs, self._console.width - 1, self._console.height), above)

    def close(self) -> None:
        """Write what is waiting, and remove the rows."""
        self._region.draw((), self._above)
        self._region.release()


class PlainMonitor:
    """The monitor where nothing can be drawn over: lines as things happen, and now and then one for each job."""

    def __init__(self, stderr: TextIO) -> None:
        self._lines = LineWriter(stderr)
        self._due_s = -math.inf

    def happened(self, line: str) -> None:
        """Write a line."""
        self._lines.write(line)

    def jobs(self, jobs: Sequence[Mapping[str, Any]], *, now_s: float) -> None:
        """Write a line for each when it is time."""
        if now_s >= self._due_s:
            self._due_s = now_s + PLAIN_S
            for job in jobs:
                self._lines.write(job_row(job))

    def close(self) -> None:
        """Every line was flushed."""


def monitor_lines(jobs: Sequence[Mapping[str, Any]], width: int, height: int) -> list[Text]:
    """The rows of a draw. Every line fits."""
    shown = jobs[: max(0, height - LINES_BESIDE_ROWS)]
    rate = show_rate(sum(job["rateBytesS"] for job in jobs))
    lines = [Text(f"{count_of(len(jobs), 'active job')}, {rate} together", "bold")]
    lines += [Text(job_row(job)) for job in shown]
    if len(shown) < len(jobs):
        lines.append(Text(f"... and {len(jobs) - len(shown)} more", DIM))
    for line in lines:
        line.truncate(width)
    return lines


def monitor(daemon: Daemon, stdout: TextIO, stderr: TextIO, *, json: bool, verbose: bool) -> None:
    """Show them until it is interrupted. Raises `DaemonError` when the daemon is not there at the start, or refuses."""
    newest = daemon.ask("GET", f"{ROOT}/events", params={"limit": 1})
    with Stream(daemon.access, last=newest[0]["id"] if newest else -1) as stream:
        if json:
            _pass_on(stream, JsonRows(stdout))
            return
        shown = DrawnMonitor(stderr) if can_draw(stderr) else PlainMonitor(stderr)
        try:
            _show(daemon, stream, shown, verbose=verbose)
        finally:
            shown.close()


def _pass_on(stream: Stream, rows: JsonRows) -> None:
    while True:
        heard = stream.next(wait_s=TICK_S)
        if isinstance(heard, Gone):
            if heard.final:
                raise DaemonError("access", heard.detail)
        elif heard is not None:
            rows.write(heard)


def _show(daemon: Daemon, stream: Stream, shown: DrawnMonitor | PlainMonitor, *, verbose: bool) -> None:
    jobs: list[Any] = []
    names: dict[str, str] = {}
    due_s, away = -math.inf, False
    while True:
        now_s = time.monotonic()
        if now_s >= due_s:
            due_s = now_s + LOOK_S
            try:
                jobs, _ = daemon.jobs({"state": "active", "order": "queue"}, most=JOBS_MAX)
            except DaemonError as error:
                if error.kind != "away":
                    raise
                if not away:
                    shown.happened(f"{printable(error.detail)}; waiting for it")
                jobs, away = [], True
            else:
                if away:
                    shown.happened("the daemon is back")
                away = False
                names |= {job["id"]: name_of(job) for job in jobs}
        heard = stream.next(wait_s=TICK_S)
        if isinstance(heard, Gone):
            if heard.final:
                raise DaemonError("access", heard.detail)
        elif heard is not None:
            _take(heard, jobs, names, shown, verbose=verbose)
        shown.jobs(jobs, now_s=now_s)


def _take(
    event: Any, jobs: list[Any], names: dict[str, str], shown: DrawnMonitor | PlainMonitor, *, verbose: bool
) -> None:
    """Progress into the row it is about, everything else into a line."""
    id, data = event["job"], event["data"]
    if event["type"] == _FLEETING:
        for job in jobs:
            if job["id"] == id:
                job |= {key: data[key] for key in ("storedBytes", "sizeBytes", "rateBytesS") if data.get(key, -1) >= 0}
        return
    if data.get("name"):
        names[id] = printable(data["name"])
    if verbose or event["type"] not in _MANY:
        shown.happened(event_line(event, names.get(id, "")))


def event_line(event: Mapping[str, Any], name: str) -> str:
    """``15:23:01 3f0c9f0e job.sealed tide.flac: /music/tide.flac``, printable, in the time of day here."""
    at = datetime.fromisoformat(event["timestamp"]).astimezone().strftime("%H:%M:%S")
    about = [event["job"][:ID_SHOWN], printable(event["type"]), name]
    words = data_words(event["data"])
    return " ".join([at, *filter(None, about)]) + (f": {words}" if words else "")


def data_words(data: Mapping[str, Any]) -> str:
    """Return an event in words; amounts with their units, the rest as it is."""
    said = [printable(str(data[key])) for key in _TEXTS if data.get(key)]
    sizes = [key for key in _SIZES if isinstance(data.get(key), int) and data[key] >= 0]
    said += [show_size(data[key]) + (" stored" if key == "storedBytes" else "") for key in sizes]
    if isinstance(data.get("seconds"), int | float):
        said.append(show_whole_time(data["seconds"]))
    if "limitBytesS" in data:
        said.append(f"limit {show_rate(data['limitBytesS'])}, priority {data.get('priority')}")
    return ", ".join(said)


def job_row(job: Mapping[str, Any]) -> str:
    """One active job in a line, printable."""
    size = show_size(job["sizeBytes"]) if job["sizeBytes"] is not None else "?"
    left = f"{show_whole_time(job['leftS'])} left" if job["leftS"] is not None else printable(job["phase"] or "")
    sources = f"{job['sourcesActive']}/{job['sourceCount']}"
    facts = f"{done(job):>5} of {size:>10}  {show_rate(job['rateBytesS']):>12}  {left:>16}  {sources:>5}"
    return f"{job['id'][:ID_SHOWN]} {facts}  {name_of(job)}"
