"""Words for limits of the system."""

import errno
import os

import pytest

from actors.runtime.system_limits import LIMITED_EXIT, exhausted_words


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        ("store died: assembler failed: RuntimeError: can't start new thread", "ulimit -u"),
        (f"hub: exited with code {LIMITED_EXIT}", "ulimit -u"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "ulimit -f"),
    ],
)
def test_a_limit_is_named_by_what_sets_it(failure: object, words: str) -> None:
    assert words in exhausted_words(failure)


@pytest.mark.parametrize("failure", [OSError(errno.ENOENT, "No such file"), ValueError("71"), "exited with code 1"])
def test_other_failures_are_none(failure: object) -> None:
    assert exhausted_words(failure) == ""
