"""Interface of the views of a job, and the choice of the one that fits options and streams.

Rule: stdout carries results for programs (``--json``), everything for people goes to stderr.
"""

import os
from typing import Final, Protocol, TextIO

from protocol.cli.parsing import DemoOptions, GetOptions
from protocol.cli.views.progress_state import SAME_COMMAND
from protocol.messages import FrontInbox
from protocol.model.printable import printable
from protocol.model.source_url import name_from_url

_POOR_TERMINALS: Final = frozenset(("", "dumb", "unknown"))


class FrontView(Protocol):
    """View of one job. Not shared between threads; never reads a clock, `now_s` is monotonic and passed in.

    After `JobEnded` was shown, the last line is out; later messages and calls change nothing that matters.
    """

    def show(self, message: FrontInbox, *, now_s: float) -> None:
        """Take one message; may write."""

    def refresh(self, *, now_s: float) -> None:
        """Called a few times a second; a view limits its own rate."""

    def close(self) -> None:
        """Leave the terminal in order. May be called at any time and more than once."""


class Loudness(Protocol):
    """Loudness of a view: objects for programs, only why it failed, or a line for each chunk."""

    @property
    def json(self) -> bool: ...
    @property
    def quiet(self) -> bool: ...
    @property
    def verbose(self) -> bool: ...


def make_view(options: GetOptions | DemoOptions, stdout: TextIO, stderr: TextIO) -> FrontView:
    """The view these options ask for. The streams stay the caller's; rich is imported only for a live terminal."""
    copied = isinstance(options, GetOptions) and options.copy_to
    return view_of(_title(options), options, stdout, stderr, again="" if copied else SAME_COMMAND)


def view_of(title: str, loudness: Loudness, stdout: TextIO, stderr: TextIO, *, again: str = SAME_COMMAND) -> FrontView:
    """A view of one job. `title` is printable; `again`: what goes on with it when it ends too early, empty: nothing."""
    if loudness.json:
        from protocol.cli.views.json_lines import JsonView

        return JsonView(stdout, quiet=loudness.quiet, verbose=loudness.verbose)
    if loudness.quiet:
        from protocol.cli.views.plain import QuietView

        return QuietView(stderr, title, again=again)
    if can_draw(stderr):
        from protocol.cli.views.live import DisplayView, console_on

        return DisplayView(console_on(stderr), title, verbose=loudness.verbose, again=again)
    from protocol.cli.views.plain import PlainView

    return PlainView(stderr, title, verbose=loudness.verbose, again=again)


def can_draw(stream: TextIO) -> bool:
    """Whether this is a terminal that moves its cursor and shows the signs that are drawn with."""
    if not stream.isatty() or os.environ.get("TERM", "") in _POOR_TERMINALS:
        return False
    return "utf" in (stream.encoding or "").lower()


def _title(options: GetOptions | DemoOptions) -> str:
    if isinstance(options, DemoOptions):
        return "demo"
    proposed = name_from_url(options.urls[0]) if options.urls else options.spec.term
    return printable(options.spec.name or proposed or "the file")
