"""The commands that drive a running daemon, by name; loaded when one of them is meant."""

from collections.abc import Callable, Mapping

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from protocol.cli.commands.job_actions import order_commands
from protocol.cli.commands.jobs import job_command, jobs_command, limit_command, monitor_command, why_command
from protocol.cli.commands.pool import auto_command, pool_group, race_command


def daemon_commands(digest: Callable[[str, str], str], *, epilog: str) -> Mapping[str, TyperCommand | TyperGroup]:
    """`digest`: see `Actions`."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command("jobs", epilog=epilog)(jobs_command())
    app.command("job", epilog=epilog)(job_command())
    for name, command in order_commands().items():
        app.command(name, epilog=epilog)(command)
    app.command("why", epilog=epilog)(why_command())
    app.command("limit", epilog=epilog)(limit_command())
    app.command("monitor", epilog=epilog)(monitor_command())
    app.add_typer(pool_group(epilog), name="pool")
    app.command("race", epilog=epilog)(race_command())
    app.command("auto", epilog=epilog)(auto_command(digest))
    made = typer.main.get_command(app)
    commands: Mapping[str, TyperCommand | TyperGroup] = made.commands  # type: ignore[attr-defined]
    return commands
