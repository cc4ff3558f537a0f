"""The command ``daemon``: its words, checked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """`config`: the file to read, empty: the first that is found. `show`: ``config`` or ``unit`` is to be printed and
    nothing run; empty else."""

    config: str
    log_json: bool
    show: str
    version: str


Config = Annotated[
    str,
    typer.Option(
        metavar="PATH",
        help="Configuration file. [default: ./shoal.toml, ~/.config/shoal/shoal.toml]",
        show_default=False,
    ),
]
LogJson = Annotated[bool, typer.Option("--log-json", help="One JSON object a line on stderr.")]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Print every key of the configuration, and end.")]
PrintUnit = Annotated[bool, typer.Option("--print-unit", help="Print a unit file for systemd, and end.")]


def daemon_command(run: Callable[[DaemonOptions], int], version: Callable[[], str]) -> Callable[..., None]:
    def daemon(
        config: Config = "",
        log_json: LogJson = False,
        print_config: PrintConfig = False,
        print_unit: PrintUnit = False,
    ) -> None:
        """Run for months: hold jobs, fetch them, be driven over HTTP.

        Stays in the foreground. SIGTERM ends it with everything saved, SIGHUP has the configuration read again.
        Without a configuration it listens on 127.0.0.1:5030 and makes an API key.
        """
        show = "config" if print_config else "unit" if print_unit else ""
        raise typer.Exit(run(DaemonOptions(config=config, log_json=log_json, show=show, version=version())))

    return daemon
