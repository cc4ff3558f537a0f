"""Jobs and targets in rows: for people as a table of printable words, for programs one JSON object a line."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

from protocol.cli.views.lines import LineWriter
from protocol.client.saved_pool import PoolTarget
from protocol.model.printable import cell_width, cut, printable
from protocol.model.source_url import public_url
from protocol.model.units import show_percent, show_rate, show_size, show_whole_time

NAME_WIDTH_MAX: Final = 60
ID_SHOWN: Final = 8
"""So much of an id tells it from a million others, nearly always; whether it does is always checked."""
_JOB_HEAD: Final = ("id", "state", "done", "size", "rate", "left", "sources", "name")
_TARGET_HEAD: Final = ("size", "sources", "free", "speed", "queue", "name")


class JsonRows:
    """Escapes everything beyond ASCII: a terminal is safe too."""

    def __init__(self, stdout: TextIO) -> None:
        self._lines = LineWriter(stdout)

    def write(self, row: Mapping[str, Any]) -> None:
        self._lines.write(json.dumps(row, separators=(",", ":")))


def job_lines(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A head and a line for each; nothing for none."""
    return _table(_JOB_HEAD, [_job_cells(job) for job in jobs], left={0, 1}) if jobs else []


def target_lines(targets: Sequence[PoolTarget]) -> list[str]:
    return _table(_TARGET_HEAD, [_target_cells(target) for target in targets], left=set()) if targets else []


def target_fields(target: PoolTarget) -> dict[str, Any]:
    return {
        "event": "target",
        "size": target.size_bytes,
        "extension": target.extension,
        "name": target.name,
        "sources": len(target.sources),
        "free": target.free,
        "speed_bytes_s": target.speed_bytes_s,
        "shortest_queue": target.shortest_queue,
        "addresses": [shown_url(source.url) for source in target.sources],
    }


def shown_url(url: str) -> str:
    return public_url(url)


def job_line(job: Mapping[str, Any]) -> str:
    """One job in a line: what an order made of it."""
    facts = [f"{done(job)} of {show_size(job['sizeBytes'])}" if job["sizeBytes"] is not None else "size unknown"]
    if job["reason"]:
        facts.append(printable(job["reason"]))
    return f"{job['id'][:ID_SHOWN]} {job['state']}: {name_of(job)} ({', '.join(facts)})"


def name_of(job: Mapping[str, Any]) -> str:
    """Printable and never empty."""
    return printable(job["name"] or job["term"] or "") or "?"


def done(job: Mapping[str, Any]) -> str:
    if job["state"] == "sealed":
        return "100 %"
    return show_percent(job["storedBytes"], job["sizeBytes"]) if job["sizeBytes"] else "-"


def _job_cells(job: Mapping[str, Any]) -> tuple[str, ...]:
    active = job["state"] == "active"
    return (
        job["id"][:ID_SHOWN],
        printable((job["phase"] or job["state"]) if active else job["state"]),
        done(job),
        show_size(job["sizeBytes"]) if job["sizeBytes"] is not None else "?",
        show_rate(job["rateBytesS"]) if active else "-",
        show_whole_time(job["leftS"]) if active and job["leftS"] is not None else "-",
        f"{job['sourcesActive']}/{job['sourceCount']}" if active else str(job["sourceCount"]),
        cut(name_of(job), NAME_WIDTH_MAX),
    )


def _target_cells(target: PoolTarget) -> tuple[str, ...]:
    return (
        f"{show_size(target.size_bytes)} ({target.size_bytes})",
        str(len(target.sources)),
        str(target.free),
        show_rate(target.speed_bytes_s) if target.speed_bytes_s > 0 else "-",
        str(target.shortest_queue),
        cut(printable(target.name), NAME_WIDTH_MAX),
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, left: set[int]) -> list[str]:
    """The last column is as wide as it is; `left`: columns whose words begin at the left."""
    every = [head, *rows]
    widths = [max(cell_width(row[column]) for row in every) for column in range(len(head) - 1)]
    return [
        "  ".join(
            [
                *(
                    cell + " " * (width - cell_width(cell))
                    if column in left
                    else " " * (width - cell_width(cell)) + cell
                    for column, (cell, width) in enumerate(zip(row, widths, strict=False))
                ),
                row[-1],
            ]
        )
        for row in every
    ]
