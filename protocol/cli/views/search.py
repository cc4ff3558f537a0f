"""View of a search's results, for people and for programs. The targets come sorted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from protocol.cli.views.json_lines import session_fields
from protocol.cli.views.lines import JsonRows, LineWriter, target_table
from protocol.cli.views.outcome import ExitCode
from protocol.cli.views.plain import Notes
from protocol.messages import FrontInbox, SessionChanged
from protocol.model.file_matches import FileMatches
from protocol.model.printable import count_of, printable
from protocol.model.source_url import slsk_url


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTarget:
    """One file as far as a search can tell. `name` and `sources` (addresses, best first) come from other users.

    `free`: users who would send at once. `speed_bytes_s`: what they advertise, together. `sureness`: why it counts as
    one file; `agreeing` users tell a length or rate, all the same.
    """

    size_bytes: int
    extension: str
    name: str
    users: int
    free: int
    speed_bytes_s: int
    shortest_queue: int
    sureness: str
    agreeing: int
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A search that is over. `targets` are the first of `target_count`. `refused` says in words why it failed.

    `state`: ``ended``, ``refused``, ``interrupted`` or ``failed`` (our fault).
    """

    term: str
    state: str
    targets: Sequence[FoundTarget]
    target_count: int
    users: int
    refused: str


class SearchView:
    """Shows one search: notes on stderr, what was found on stdout. With `json` everything is objects on stdout."""

    def __init__(self, stdout: TextIO, stderr: TextIO, *, json: bool) -> None:
        self._out = LineWriter(stdout)
        self._rows = JsonRows(stdout)
        self._err = LineWriter(stderr)
        self._json = json
        self._draws = stderr.isatty() and not json
        self._drawn = ""

    def show(self, message: FrontInbox) -> None:
        """Show the state of the login. A failure is the last line for people, so it is not shown twice."""
        if not isinstance(message, SessionChanged):
            return
        if self._json:
            self._write("session", session_fields(message))
        elif message.state == "online":
            self._draw("")
            self._err.write(Notes().line(message))

    def progress(self, phase: str, users: int = 0) -> None:
        """Show on a terminal what is being done, in one line that is drawn over."""
        self._draw(f"{phase}: {count_of(users, 'user')} so far" if users else f"{phase} ...")

    def _draw(self, line: str) -> None:
        if self._draws and line != self._drawn:
            self._drawn = line
            self._err.write_raw(f"\r\x1b[K{line}")

    def finish(self, found: Found) -> None:
        """The targets and the last word."""
        self._draw("")
        if self._json:
            for target in found.targets:
                self._write("target", _target_fields(target))
            ended = {"targets": found.target_count, "users": found.users, "refused": found.refused}
            self._write("search_ended", ended)
            return
        for line in found_lines(found.targets):
            self._out.write(line)
        (self._out if found.targets and found.state == "ended" else self._err).write(last_search_line(found))

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        self._rows.write({"event": event, **fields})


def found_in(term: str, matches: FileMatches, *, state: str, users: int, refused: str, most: int) -> Found:
    """Return a search that is over, with the first `most` of the files that it found."""
    best = matches.best()
    targets = tuple(
        FoundTarget(
            size_bytes=target.size_bytes,
            extension=target.extension,
            name=target.name,
            users=len(target.hits),
            free=target.free,
            speed_bytes_s=target.speed_bytes_s,
            shortest_queue=target.shortest_queue,
            sureness=target.sureness,
            agreeing=target.agreeing,
            sources=tuple(slsk_url(hit.peer, hit.path) for hit in target.ranked()),
        )
        for target in best[:most]
    )
    return Found(term=term, state=state, targets=targets, target_count=len(best), users=users, refused=refused)


def found_lines(targets: Sequence[FoundTarget]) -> list[str]:
    """The targets as a table; nothing for none."""
    return target_table("users", [(one, one.users) for one in targets])


def last_search_line(found: Found) -> str:
    """One printable line."""
    term = printable(found.term)
    match found.state:
        case "refused":
            return f"search failed: {printable(found.refused)}"
        case "interrupted":
            return "interrupted"
        case "failed":
            return f"our fault: {printable(found.refused)}"
        case _ if not found.targets:
            return f"nothing found for {term!r}"
        case _:
            more = found.target_count - len(found.targets)
            rest = f", {more} not shown (--limit)" if more > 0 else ""
            return f"{count_of(found.target_count, 'target')} from {count_of(found.users, 'user')}{rest}"


def search_exit_code(found: Found) -> ExitCode:
    """0 only for a search that ended well and found something."""
    match found.state:
        case "interrupted":
            return ExitCode.INTERRUPTED
        case "failed":
            return ExitCode.OUR_FAULT
        case "ended" if found.targets:
            return ExitCode.SEALED
        case _:
            return ExitCode.NO_SOURCE


def _target_fields(target: FoundTarget) -> dict[str, Any]:
    return {
        "size": target.size_bytes,
        "extension": target.extension,
        "name": target.name,
        "users": target.users,
        "free": target.free,
        "speed_bytes_s": target.speed_bytes_s,
        "shortest_queue": target.shortest_queue,
        "sureness": target.sureness,
        "agreeing": target.agreeing,
        "sources": list(target.sources),
    }
