"""Command group of typer with one-line errors: a mistake is exit code 2, an interrupt is 130.

Commands that drive a daemon are loaded when one of them is meant or all are listed: a plain download should start fast.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from protocol.cli.views.outcome import ExitCode
from protocol.model.errors import BadUsage
from protocol.model.printable import printable


class Mistake(Exception):  # noqa: N818
    """A `BadUsage` that was found while words are parsed, where typer has an error line of its own for a ValueError."""


class Ended(Exception):  # noqa: N818
    """An end of the command with a code of its own and one line for people."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class OneLineGroup(TyperGroup):
    """Ends the process itself, so that mistakes are one line and an interrupt is 130 with every typer."""

    @staticmethod
    def more() -> Mapping[str, TyperCommand | TyperGroup]:
        """Load the commands that are rarely meant."""
        return {}

    def list_commands(self, ctx: Any) -> list[str]:
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        for name, command in self.more().items():
            self.commands.setdefault(name, command)

    def main(self, *args: Any, **extra: Any) -> Any:
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except (BadUsage, Mistake) as error:
            say_error(str(error), "")
            code = ExitCode.USAGE
        except Ended as end:
            say_error(str(end))
            code = end.code
        except (typer.Abort, KeyboardInterrupt):
            say_error("interrupted", "")
            code = ExitCode.INTERRUPTED
        except Exception as error:
            # typer's usage errors have no common public class over its versions; this is what they share.
            if not hasattr(error, "format_message"):
                raise
            say_error(error.format_message(), _help_hint(error))
            code = ExitCode.USAGE
        sys.exit(int(code or 0))

    # Some versions of typer end an interrupted command with 130 and no message; an abort they all let through.

    def make_context(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().make_context(*args, **extra)
        except KeyboardInterrupt:
            raise typer.Abort from None

    def invoke(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().invoke(*args, **extra)
        except KeyboardInterrupt:
            raise typer.Abort from None


def _help_hint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f" (see {context.command_path} --help)" if context is not None else ""


def say_error(text: str, hint: str = "") -> None:
    """Write one line to stderr, without what may be a secret."""
    # typer quotes what it did not understand, and that may be an address with a password.
    shown = re.sub(r"\S*:\S*@", "***@", printable(text)).rstrip(". ")
    if shown.startswith("No such command") and ("://" in shown or "***@" in shown):
        hint = "; to fetch an address, write: get URL"
    if re.match("[A-Z][a-z]* ", shown):  # a sentence, not a file's name
        shown = shown[:1].lower() + shown[1:]
    typer.echo(f"error: {shown}{hint}", err=True)
