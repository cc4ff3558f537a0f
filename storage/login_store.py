"""Login store: passwords of addresses and request headers, apart from the job store and only while their jobs live.

The job store has the addresses without user and password and no headers, so a copy, a backup or a report of it holds no
secret. This file beside it, readable by its owner alone, has them whole and overwrites what is deleted.
"""

import os
import sqlite3
from collections.abc import Container
from typing import Final

from protocol.model.source_url import public_url
from storage.durable import make_private

FILE_NAME: Final = "logins.sqlite"
HTTP: Final = -1
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS logins"
    " (id TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (id, number)) STRICT"
)


class LoginStore:
    """Whole addresses by job and number of the source, `HTTP` for the job's HTTP options. Used by one thread.

    Written before the job store's rows and cleared after them: a crash in between leaves an entry too many, which
    `keep_only` removes. A damaged file costs the logins and nothing else: it is begun again.
    """

    def __init__(self, beside: str) -> None:
        path = os.path.join(os.path.dirname(beside), FILE_NAME)
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self._db.close()
            os.unlink(path)
            self._open(path)

    def _open(self, path: str) -> None:
        make_private(path)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(_SCHEMA)
        self._texts = {
            (str(id), int(number)): str(text) for id, number, text in self._db.execute("SELECT * FROM logins")
        }

    def close(self) -> None:
        self._db.close()

    def get(self, id: str, number: int, without: str) -> str:
        """Return the text that was kept, else what the job store has in its place."""
        return self._texts.get((id, number), without)

    def put(self, id: str, number: int, text: str) -> None:
        """Keep a text; the same again costs nothing."""
        if self._texts.get((id, number)) != text:
            self._db.execute("INSERT OR REPLACE INTO logins VALUES (?, ?, ?)", (id, number, text))
            self._texts[id, number] = text

    def put_url(self, id: str, number: int, url: str) -> str:
        """Keep the address if it holds a login; return it without."""
        shown = public_url(url)
        if shown != url:
            self.put(id, number, url)
        return shown

    def drop(self, id: str) -> None:
        """Forget the logins of a job that has ended."""
        held = [key for key in self._texts if key[0] == id]
        if held:
            self._db.execute("DELETE FROM logins WHERE id = ?", (id,))
            for key in held:
                del self._texts[key]

    def keep_only(self, living: Container[str]) -> None:
        """Forget the logins of all other jobs."""
        for id in {id for id, _ in self._texts if id not in living}:
            self.drop(id)
