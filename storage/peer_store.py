"""Peer store: rates, failures and aborted transfers of peers, kept from job to job in one SQLite file.

Exactly one connection, used by one thread. Nothing is decided here: what the core records comes back as priors.
"""

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from protocol.model.value import Struct
from storage.durable import make_private

PEERS_MAX: Final = 50_000
"""Beyond this the peers not seen for longest are deleted."""
DAYS_KEPT: Final = 14
ODD_FILES_MAX: Final = 20_000
ODD_DAYS_KEPT: Final = 90
"""A user may replace a file; so long it is asked last for that one."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS peers (
    peer TEXT PRIMARY KEY,
    rate_bytes_s REAL NOT NULL DEFAULT 0,
    setup_s REAL NOT NULL DEFAULT 0,
    rides INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    offset_ok INTEGER NOT NULL DEFAULT 1,
    last_fault INTEGER NOT NULL DEFAULT 0,
    failed_s REAL NOT NULL DEFAULT 0,
    seen_s REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS stops (
    peer TEXT NOT NULL,
    day INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (peer, day)
) STRICT;
CREATE TABLE IF NOT EXISTS odd_files (
    peer TEXT NOT NULL,
    name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    seen_s REAL NOT NULL,
    PRIMARY KEY (peer, name, size_bytes)
) STRICT;
CREATE TABLE IF NOT EXISTS uploads (
    peer TEXT NOT NULL,
    ticket INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    closed_s REAL,
    settled INTEGER NOT NULL DEFAULT 0,
    changed_s REAL NOT NULL,
    PRIMARY KEY (peer, ticket)
) STRICT;
"""
NUMBER_MAX: Final = 1e12
"""Bound of rates, counts and times that can be."""
_SETTLE_S_MAX: Final = 20.0
"""An upload that was stopped and whose end the session did not settle for so long counts as failed."""
_LOST_GRACE_S: Final = 12.0
"""So long after the death of its process an upload may still be settled by the session."""
_UPLOADS_KEPT_S: Final = 3600.0

_SELECT: Final = (
    "SELECT peer, rate_bytes_s, setup_s, rides, failures, offset_ok, last_fault, seen_s,"
    " coalesce((SELECT count FROM stops WHERE stops.peer = peers.peer AND day = ?), 0) FROM peers"
)


class PeerPrior(Struct, frozen=True, kw_only=True):
    """Prior knowledge of a peer at the start of a job. Times are seconds since 1970."""

    peer: str
    rate_bytes_s: float = 0.0  # 0: unknown
    setup_s: float = 0.0  # 0: unknown
    rides: int = 0  # transfers that delivered
    failures: int = 0  # since the last of them
    offset_ok: bool = True
    last_fault: int = 0  # 0 while `failures` is
    seen_s: float = 0.0
    stops_today: int  # of all jobs this day


class PeerStore:
    """Owner of the connection. `now_s` is wall time in seconds since 1970, given by the caller.

    Raises sqlite3.Error when the file is not usable; the caller then goes on without it.
    """

    def __init__(self, path: str) -> None:
        if path != ":memory:":
            make_private(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")  # damaged text must not hide other rows
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def record_delivery(self, peer: str, *, rate_bytes_s: float, setup_s: float, now_s: float) -> None:
        """Record a transfer that delivered: moving averages of rate and set-up, the newest weighing half."""
        self._db.execute(
            "INSERT INTO peers (peer, rate_bytes_s, setup_s, rides, seen_s) VALUES (:peer, :rate, :setup, 1, :now)"
            " ON CONFLICT (peer) DO UPDATE SET rides = rides + 1, failures = 0, seen_s = :now,"
            " rate_bytes_s = CASE WHEN rate_bytes_s > 0 THEN (rate_bytes_s + :rate) / 2 ELSE :rate END,"
            " setup_s = CASE WHEN setup_s > 0 THEN (setup_s + :setup) / 2 ELSE :setup END",
            {"peer": peer, "rate": rate_bytes_s, "setup": setup_s, "now": now_s},
        )

    def record_failure(self, peer: str, *, fault: int, offset_ok: bool, now_s: float) -> None:
        """Record a failed transfer, or refused offsets."""
        self._db.execute(
            "INSERT INTO peers (peer, failures, last_fault, failed_s, offset_ok, seen_s)"
            " VALUES (:peer, 1, :fault, :now, :ok, :now)"
            " ON CONFLICT (peer) DO UPDATE SET failures = failures + 1, last_fault = :fault, failed_s = :now,"
            " offset_ok = :ok, seen_s = :now",
            {"peer": peer, "fault": fault, "ok": int(offset_ok), "now": now_s},
        )

    def record_content(self, peer: str, name: str, size_bytes: int, *, differs: bool, now_s: float) -> None:
        """Record that this file of this peer has other content than others', or that it has not."""
        key = (peer, name.casefold(), size_bytes)
        if not differs:
            self._db.execute("DELETE FROM odd_files WHERE peer = ? AND name = ? AND size_bytes = ?", key)
            return
        self._db.execute("INSERT OR REPLACE INTO odd_files VALUES (?, ?, ?, ?)", (*key, now_s))
        self._db.execute(
            "DELETE FROM odd_files WHERE rowid NOT IN (SELECT rowid FROM odd_files ORDER BY seen_s DESC LIMIT ?)",
            (ODD_FILES_MAX,),
        )

    def is_odd(self, peer: str, name: str, size_bytes: int, *, now_s: float) -> bool:
        """Return whether this file of this peer had other content; -1: of any size."""
        found = self._db.execute(
            "SELECT 1 FROM odd_files WHERE peer = ? AND name = ? AND (size_bytes = ? OR ? < 0) AND seen_s >= ?",
            (peer, name.casefold(), size_bytes, size_bytes, now_s - 86400 * ODD_DAYS_KEPT),
        )
        return found.fetchone() is not None

    def record_stop(self, peer: str, *, count: int = 1, now_s: float) -> None:
        """Record that we hung up on this peer before the end of its file."""
        self._db.execute(
            "INSERT INTO stops (peer, day, count) VALUES (?, ?, ?)"
            " ON CONFLICT (peer, day) DO UPDATE SET count = count + excluded.count",
            (peer, day_of(now_s), count),
        )

    def upload_opened(self, peer: str, ticket: int, *, pid: int, ahead: bool = False, now_s: float) -> None:
        """Record that process `pid` has a connection of this peer, or, `ahead`, that it is about to let it come."""
        self._db.execute(
            "INSERT INTO uploads (peer, ticket, pid, changed_s) VALUES (:peer, :ticket, :pid, :now)"
            " ON CONFLICT (peer, ticket) DO UPDATE SET pid = :pid, closed_s = NULL, settled = 0, changed_s = :now"
            " WHERE NOT settled OR changed_s < :now - 5",  # else the two messages crossed
            {"peer": peer, "ticket": ticket, "pid": -pid if ahead else pid, "now": now_s},
        )

    def upload_closed(self, peer: str, ticket: int, *, stopped: bool, now_s: float) -> None:
        """Record that it was closed, at its end or `stopped` before: then the peer decides, see `upload_settled`."""
        self._db.execute(
            "UPDATE uploads SET closed_s = :now, settled = max(settled, :ended), changed_s = :now"
            " WHERE peer = :peer AND ticket = :ticket",
            {"now": now_s, "ended": int(not stopped), "peer": peer, "ticket": ticket},
        )

    def upload_settled(self, peer: str, ticket: int, *, failed: bool, now_s: float) -> None:
        """Record how the peer counts it; the first report holds.

        A `failed` one is counted as a stop, also when no worker had it: its connection was refused.
        """
        row = self._db.execute("SELECT settled FROM uploads WHERE peer = ? AND ticket = ?", (peer, ticket)).fetchone()
        if (row is not None and row[0]) or (row is None and not failed):
            return
        self._db.execute(
            "INSERT OR REPLACE INTO uploads (peer, ticket, pid, settled, changed_s) VALUES (?, ?, 0, 1, ?)",
            (peer, ticket, now_s),
        )
        if failed:
            self.record_stop(peer, now_s=now_s)

    def settle_lost(self, is_alive: Callable[[int], bool], *, now_s: float, grace_s: float = _LOST_GRACE_S) -> None:
        """Count uploads whose process died, after `grace_s`, and stopped ones that stay unsettled.

        One whose connection was not seen before its process died counts only without grace, where all processes died:
        the message about it may have been on its way. A session that died alone had reported each connection it saw.
        """
        self._db.execute("DELETE FROM uploads WHERE settled AND changed_s < ?", (now_s - _UPLOADS_KEPT_S,))
        rows = self._db.execute("SELECT peer, ticket, pid, closed_s FROM uploads WHERE NOT settled").fetchall()
        for peer, ticket, pid, closed_s in rows:
            dead = not is_alive(abs(pid))
            if dead and pid < 0 and grace_s > 0:
                self._db.execute("DELETE FROM uploads WHERE peer = ? AND ticket = ?", (peer, ticket))
            elif dead and closed_s is None and grace_s > 0:
                self._db.execute(
                    "UPDATE uploads SET closed_s = ? WHERE peer = ? AND ticket = ?",
                    (now_s - _SETTLE_S_MAX + grace_s, peer, ticket),
                )
            elif (dead and grace_s == 0) or (closed_s is not None and not 0 <= now_s - closed_s < _SETTLE_S_MAX):
                self.upload_settled(peer, ticket, failed=True, now_s=now_s)

    def prior(self, peer: str, *, now_s: float) -> PeerPrior:
        """Return what is known of this peer."""
        found = self._db.execute(f"{_SELECT} WHERE peer = ?", (day_of(now_s), peer)).fetchone()
        if found is not None:
            return _prior(found)
        row = self._db.execute("SELECT count FROM stops WHERE peer = ? AND day = ?", (peer, day_of(now_s))).fetchone()
        return PeerPrior(peer=peer, stops_today=int(_sane(row[0])) if row is not None else 0)

    def known(self, *, offset: int, limit: int, now_s: float) -> tuple[int, list[PeerPrior]]:
        """Return ``(total, this page)``, the fastest first."""
        (total,) = self._db.execute("SELECT count(*) FROM peers").fetchone()
        rows = self._db.execute(
            f"{_SELECT} ORDER BY rate_bytes_s DESC, peer LIMIT ? OFFSET ?", (day_of(now_s), limit, max(offset, 0))
        )
        return int(total), [_prior(row) for row in rows]

    def stop_history(self, peer: str, *, offset: int, limit: int) -> tuple[int, list[tuple[str, int, int]]]:
        """Return ``(total, this page of (peer, day, count))``, the newest day first; of one peer unless empty."""
        of_peer = ("WHERE peer = ?", (peer,)) if peer else ("", ())
        (total,) = self._db.execute(f"SELECT count(*) FROM stops {of_peer[0]}", of_peer[1]).fetchone()
        rows = self._db.execute(
            f"SELECT peer, day, count FROM stops {of_peer[0]} ORDER BY day DESC, count DESC, peer LIMIT ? OFFSET ?",
            (*of_peer[1], limit, max(offset, 0)),
        )
        return int(total), [(str(name), int(day), int(count)) for name, day, count in rows]

    def tidy(self, *, now_s: float) -> None:
        """Delete old days and the peers not seen for longest."""
        self._db.execute("DELETE FROM stops WHERE day < ?", (day_of(now_s) - DAYS_KEPT,))
        self._db.execute("DELETE FROM odd_files WHERE seen_s < ?", (now_s - 86400 * ODD_DAYS_KEPT,))
        self._db.execute(
            "DELETE FROM peers WHERE peer NOT IN (SELECT peer FROM peers ORDER BY seen_s DESC LIMIT ?)", (PEERS_MAX,)
        )


def _prior(row: tuple[Any, ...]) -> PeerPrior:
    peer, *numbers = row
    rate, setup, rides, failures, offset_ok, last_fault, seen_s, stops = map(_sane, numbers)
    return PeerPrior(
        peer=str(peer),
        rate_bytes_s=rate,
        setup_s=setup,
        rides=int(rides),
        failures=int(failures),
        offset_ok=bool(offset_ok),
        last_fault=int(last_fault) if failures else 0,
        seen_s=seen_s,
        stops_today=int(stops),
    )


def _sane(number: float) -> float:
    """Return the number; of one that no program has written, but damage has, nothing is left."""
    return number if 0 <= number <= NUMBER_MAX else 0


def day_of(now_s: float) -> int:
    """Days since 1970, UTC: a day of the stop history."""
    return int(now_s // 86400)
