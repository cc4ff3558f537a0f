"""Logging setup of a process: text lines for people or JSON lines for programs, passwords removed."""

import datetime
import logging
import threading
from typing import Final

from actors.runtime.system_limits import exhausted_words
from protocol.model.value import late_pattern

NOTICES: Final = "shoal"
"""Logger of the few lines that every operator of a daemon should read; they are not filtered by level."""
_USERINFO: Final = late_pattern(r"(://)[^/\s@'\"]+@")


def set_up(process: str, level: int, *, as_json: bool) -> None:
    """Log this process to stderr from now on, replacing an earlier setup."""
    handler = logging.StreamHandler()
    handler.addFilter(_without_traceback)
    handler.setFormatter(_Json(process) if as_json else _Plain(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger(NOTICES).setLevel(logging.INFO)
    if as_json:
        # What Python itself would write there is a line like all others.
        logging.captureWarnings(True)
        threading.excepthook = _thread_failed


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread is not None else "?"
    error = args.exc_value or args.exc_type()
    logging.getLogger(__name__).error("the thread %s failed", name, exc_info=error)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Say in words what limit of the system was reached, in place of where that happened."""
    words = exhausted_words(record.exc_info[1]) if record.exc_info else ""
    if words:
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: {words}", (), None
    return True


def without_passwords(text: str) -> str:
    """Mask user and password of every address in a text: a last safety net below the callers."""
    return _USERINFO.sub(r"\1***@", text)


class _Plain(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__(f"shoal {process}: %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        if record.name == NOTICES:
            kind = "error: " if record.levelno >= logging.ERROR else ""
            return without_passwords(f"shoal: {kind}{record.getMessage()}")
        return without_passwords(super().format(record))


class _Json(logging.Formatter):
    """Formatter of a line of JSON. `at` is UTC; `error` the traceback, where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        import json  # by the processes that log in it only

        at = datetime.datetime.fromtimestamp(record.created, tz=datetime.UTC)
        line = {
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "process": self._process,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_passwords(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = without_passwords(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True)
