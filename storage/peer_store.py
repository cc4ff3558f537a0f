"""What is remembered of peers from job to job: the job store's first tables.

One SQLite file, exactly one connection, used by one thread. Nothing here decides: it keeps what the core wants to know
again (how fast, how often it failed, how many stops this day) and gives it back as priors.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PEERS_MAX: Final = 50_000
"""More are forgotten, those not seen for longest first."""
DAYS_KEPT: Final = 14
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
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPrior:
    """What is known of a peer before a job. Rate and set-up 0: nothing. `stops_today`: all jobs of this day.
    `last_fault` and `failed_s` (seconds since 1970) are 0 while `failures` is."""

    peer: str
    rate_bytes_s: float
    setup_s: float
    rides: int
    failures: int
    offset_ok: bool
    last_fault: int
    failed_s: float
    stops_today: int
    seen_s: float = 0.0


class PeerStore:
    """Owns the connection. `now_s` is wall time in seconds since 1970, given by the caller.

    Raises sqlite3.Error when the file is not usable; the caller goes on without a memory then.
    """

    def __init__(self, path: str) -> None:
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def rode(self, peer: str, *, rate_bytes_s: float, setup_s: float, now_s: float) -> None:
        """A ride delivered: remember its rate and set-up, the newest half weighing most."""
        self._db.execute(
            "INSERT INTO peers (peer, rate_bytes_s, setup_s, rides, seen_s) VALUES (:peer, :rate, :setup, 1, :now)"
            " ON CONFLICT (peer) DO UPDATE SET rides = rides + 1, failures = 0, seen_s = :now,"
            " rate_bytes_s = CASE WHEN rate_bytes_s > 0 THEN (rate_bytes_s + :rate) / 2 ELSE :rate END,"
            " setup_s = CASE WHEN setup_s > 0 THEN (setup_s + :setup) / 2 ELSE :setup END",
            {"peer": peer, "rate": rate_bytes_s, "setup": setup_s, "now": now_s},
        )

    def failed(self, peer: str, *, fault: int, offset_ok: bool, now_s: float) -> None:
        """A ride came to nothing, or offsets were refused."""
        self._db.execute(
            "INSERT INTO peers (peer, failures, last_fault, failed_s, offset_ok, seen_s)"
            " VALUES (:peer, 1, :fault, :now, :ok, :now)"
            " ON CONFLICT (peer) DO UPDATE SET failures = failures + 1, last_fault = :fault, failed_s = :now,"
            " offset_ok = :ok, seen_s = :now",
            {"peer": peer, "fault": fault, "ok": int(offset_ok), "now": now_s},
        )

    def stopped(self, peer: str, *, count: int = 1, now_s: float) -> None:
        """We hung up on this peer before the end of its file."""
        self._db.execute(
            "INSERT INTO stops (peer, day, count) VALUES (?, ?, ?)"
            " ON CONFLICT (peer, day) DO UPDATE SET count = count + excluded.count",
            (peer, day_of(now_s), count),
        )

    def priors(self, peers: Iterable[str], *, now_s: float) -> list[PeerPrior]:
        """What is known of each of these, in their order; those nobody knows come with zeros."""
        return [self._prior(peer, day_of(now_s)) for peer in peers]

    def stops(self, *, now_s: float) -> list[tuple[str, int]]:
        """The ledger of this day: ``(peer, stops)``, most first."""
        rows = self._db.execute(
            "SELECT peer, count FROM stops WHERE day = ? ORDER BY count DESC, peer", (day_of(now_s),)
        )
        return [(str(peer), int(count)) for peer, count in rows]

    def known(self, *, offset: int, limit: int, now_s: float) -> tuple[int, list[PeerPrior]]:
        """``(how many there are, this page of them)``, the fastest first."""
        (total,) = self._db.execute("SELECT count(*) FROM peers").fetchone()
        rows = self._db.execute(
            "SELECT peer, rate_bytes_s, setup_s, rides, failures, offset_ok, last_fault, failed_s, seen_s,"
            " coalesce((SELECT count FROM stops WHERE stops.peer = peers.peer AND day = ?), 0)"
            " FROM peers ORDER BY rate_bytes_s DESC, peer LIMIT ? OFFSET ?",
            (day_of(now_s), limit, max(offset, 0)),
        )
        return int(total), [
            PeerPrior(
                peer=str(peer),
                rate_bytes_s=rate,
                setup_s=setup,
                rides=rides,
                failures=failures,
                offset_ok=bool(offset_ok),
                last_fault=last_fault if failures else 0,
                failed_s=failed_s if failures else 0.0,
                stops_today=stops,
                seen_s=seen_s,
            )
            for peer, rate, setup, rides, failures, offset_ok, last_fault, failed_s, seen_s, stops in rows
        ]

    def ledger(self, peer: str, *, offset: int, limit: int) -> tuple[int, list[tuple[str, int, int]]]:
        """``(how many there are, this page of (peer, day, count))``, the newest day first; of one peer unless empty."""
        of_peer = ("WHERE peer = ?", (peer,)) if peer else ("", ())
        (total,) = self._db.execute(f"SELECT count(*) FROM stops {of_peer[0]}", of_peer[1]).fetchone()
        rows = self._db.execute(
            f"SELECT peer, day, count FROM stops {of_peer[0]} ORDER BY day DESC, count DESC, peer LIMIT ? OFFSET ?",
            (*of_peer[1], limit, max(offset, 0)),
        )
        return int(total), [(str(name), int(day), int(count)) for name, day, count in rows]

    def tidy(self, *, now_s: float) -> None:
        """Forget old days and the peers that were not seen for longest."""
        self._db.execute("DELETE FROM stops WHERE day < ?", (day_of(now_s) - DAYS_KEPT,))
        self._db.execute(
            "DELETE FROM peers WHERE peer NOT IN (SELECT peer FROM peers ORDER BY seen_s DESC LIMIT ?)", (PEERS_MAX,)
        )

    def _prior(self, peer: str, day: int) -> PeerPrior:
        row = self._db.execute(
            "SELECT rate_bytes_s, setup_s, rides, failures, offset_ok, last_fault, failed_s FROM peers WHERE peer = ?",
            (peer,),
        ).fetchone()
        rate, setup, rides, failures, offset_ok, last_fault, failed_s = row or (0.0, 0.0, 0, 0, 1, 0, 0.0)
        stops = self._db.execute("SELECT count FROM stops WHERE peer = ? AND day = ?", (peer, day)).fetchone()
        return PeerPrior(
            peer=peer,
            rate_bytes_s=rate,
            setup_s=setup,
            rides=rides,
            failures=failures,
            offset_ok=bool(offset_ok),
            last_fault=last_fault if failures else 0,
            failed_s=failed_s if failures else 0.0,
            stops_today=stops[0] if stops is not None else 0,
        )


def day_of(now_s: float) -> int:
    """Days since 1970, UTC: what "a day" means in the stop ledger."""
    return int(now_s // 86400)
