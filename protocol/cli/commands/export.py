"""Command ``export``: a finished file described for others."""

from collections.abc import Callable

import typer

from protocol.cli.args import (
    AsMetalink,
    DocumentOutput,
    FinishedPath,
    Link,
    Mirrors,
    MirrorsOfJob,
    PieceSize,
    spread,
)
from protocol.cli.parsing import ExportOptions, checked_mirrors


def export_command(act: Callable[[ExportOptions], int]) -> Callable[..., None]:
    """The command ``export``. `act` reads the file and writes the document."""

    @spread
    def export(
        *,
        path: FinishedPath,
        metalink: AsMetalink = True,
        mirror: Mirrors = None,
        piece_size: PieceSize = 0,
        output: DocumentOutput = "",
        job: MirrorsOfJob = "",
        link: Link,
    ) -> None:
        """Describe a finished file for others: digest, piece hashes and mirrors, as a Metalink 4 document.

        What is written can be given to: get FILE.meta4, and to other programs. Mirrors are those that the file was
        downloaded from, where that was noted, those of a daemon's job, or those of --mirror.
        """
        mirrors = checked_mirrors(mirror) if mirror else ()
        if job:
            from protocol.cli.remote.download import mirrors_of_job

            mirrors = (*mirrors, *mirrors_of_job(link, job))
        raise typer.Exit(act(ExportOptions(path=path, mirrors=mirrors, piece_bytes=piece_size, output=output)))

    return export
