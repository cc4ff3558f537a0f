"""Resource limits of the operating system: what is raised at the start, and words for those that were reached."""

import errno
import os
from typing import Final

FILES_MIN: Final = 40
"""Open files that the front of a download from one source needs."""
LIMITED_EXIT: Final = 71
"""Exit code of a child process that the system refused something; EX_OSERR of sysexits.h."""
LIMITED: Final = "the system refuses more threads, processes or open files: see ulimit -u and ulimit -n"
_SIGNS: Final = (
    (f"exited with code {LIMITED_EXIT}", LIMITED),
    (LIMITED, LIMITED),
    ("can't start new thread", "the system refuses more threads: see ulimit -u and ulimit -v"),
    (os.strerror(errno.EAGAIN), "the system refuses more processes: see ulimit -u"),
    (os.strerror(errno.EMFILE), "too few open files are allowed: see ulimit -n"),
    ("No usable temporary directory", "no folder for temporary files can be written: see TMPDIR and ulimit -f"),
    (os.strerror(errno.EFBIG), "files may not be as large as this needs: see ulimit -f"),
)
"""What shows in a failure's text that a limit was reached, and the words for it."""


def raise_open_files() -> int:
    """Raise the limit of open files as far as this process may, and return it."""
    try:
        import resource
    except ImportError:  # no Unix
        return FILES_MIN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return FILES_MIN
    if hard in (soft, resource.RLIM_INFINITY):
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def exhausted_words(failure: object) -> str:
    """Return which limit of the system a failure, or its text, is about, and what sets it; empty for other failures."""
    text = str(failure)
    return next((words for sign, words in _SIGNS if sign in text), "")
