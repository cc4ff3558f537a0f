"""Start and end of the program's process: early forkserver, command line, exit.

A command that downloads starts its forkserver before the command line is parsed, so that the modules of the child
processes are loaded while this process loads its own. Nothing heavy is imported at the top.

What each part saves in ``get`` of a small file, of 0.32 s on two cores (``python -m tests.bench.startup``): the early
forkserver 0.12 s, its fork off this process 0.12 s, the modules preloaded in it 0.02 s (0.1 s and more on a busy
machine, 0.4 s for the session's), leaving without finalization 0.03 s.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Any, Final, NoReturn

from actors.runtime.loading import loading
from actors.runtime.stop_signals import raise_interrupt, raise_lost_interrupt

PRELOADED: Final = (
    "actors.assembler",
    "actors.builders",
    "actors.download_messages",
    "actors.hub",
    "actors.peer_worker",
    "actors.runtime.process_root",
    "actors.sources.http.reader",
)
"""Modules of the child processes of a download; the forkserver loads them once for all."""
CLOSED: Final[set[int]] = set()
"""Numbers of the standard streams that this process was started without."""
PRELOADED_SESSION: Final = ("actors.soulseek.network", "actors.soulseek.actor")
"""The same for commands that log in; aioslsk takes half a second to load."""


class Command:
    """A command's function ``module:name``, imported when it is called first."""

    def __init__(self, path: str) -> None:
        self._module, _, self._name = path.partition(":")

    def __call__(self, *arguments: Any) -> Any:
        with loading():
            function = getattr(import_module(self._module), self._name)
        raise_lost_interrupt()
        return function(*arguments)


def run_command_line(**commands: Command) -> int:
    """Parse ``sys.argv`` and call one of `commands`, which are the fields of `protocol.cli.app.Actions`.

    Returns or raises SystemExit with the exit code.
    """
    _speak_utf8()
    _open_standard_streams()
    try:
        import signal

        signal.signal(signal.SIGTERM, raise_interrupt)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else our starter wants it ignored
            signal.signal(signal.SIGINT, raise_interrupt)
        with loading():
            modules = _preloaded(sys.argv[1:])
            if modules:
                from actors.runtime.system_limits import FILES_MIN, raise_open_files

                if raise_open_files() < FILES_MIN:
                    sys.stderr.write(f"error: at least {FILES_MIN} open files are needed: see ulimit -n\n")
                    return 2
                # What this process and its children both need is loaded once, before the fork.
                import actors.runtime.supervisor  # noqa: F401
                import storage.shared_memory  # noqa: F401
                from actors.runtime.spawn import warm

                warm(modules)
            from protocol.cli.app import Actions, build_app

        build_app(Actions(**commands), meant=next(iter(sys.argv[1:]), ""))()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130
    except (OSError, RuntimeError) as error:
        from actors.runtime.system_limits import exhausted_words

        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO) and error.filename is None:
            sys.stderr.write(f"error: cannot write: {error.strerror}\n")
            return 5
        if not (words := exhausted_words(error)):
            raise
        sys.stderr.write(f"error: {words}\n")
        return 2
    return 0


def _open_standard_streams() -> None:
    """Open the null device in place of a closed stdin, stdout or stderr, whose numbers files would get otherwise."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            CLOSED.add(number)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _speak_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale has file names in ASCII or another small character set."""
    if sys.getfilesystemencoding().lower() != "utf-8" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _preloaded(words: list[str]) -> tuple[str, ...]:
    """Guess from the unparsed command line which modules the children will need; none for no children."""
    if {"-h", "--help"} & set(words) or any(word == "--daemon" or word.startswith("--url") for word in words):
        return ()
    if words[:1] == ["swarm"] and words[1:2] and words[1].isdigit():
        return ()  # most likely of the pool; should it be words to search for, they are loaded a little later
    soulseek = words[:1] in (["search"], ["swarm"]) or any(word[:5].lower() == "slsk:" for word in words)
    if soulseek and "--no-daemon" not in words and _has_daemon():
        return ()  # most likely that has the login and does it
    if words[:1] == ["search"]:
        return PRELOADED_SESSION
    if words[:1] == ["swarm"] or (words[:1] == ["get"] and soulseek):
        return (*PRELOADED, *PRELOADED_SESSION)
    if words[:1] == ["demo"]:
        return PRELOADED if "http" in words or "--kind=http" in words else (*PRELOADED, *PRELOADED_SESSION)
    return PRELOADED if words[:1] == ["get"] else ()


def _has_daemon() -> bool:
    from protocol.config.paths import ADDRESS_FILE, state_folder

    return os.path.exists(os.path.join(state_folder(os.environ), ADDRESS_FILE))


def leave(code: int) -> NoReturn:
    """End the process now: taking every loaded module apart takes as long as a fifth of loading it."""
    import atexit
    import signal

    # One more Ctrl-C must not change how this ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)  # the reader of a pipe is gone: Python knows how to end then
    os._exit(code)
