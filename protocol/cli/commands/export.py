"""Command ``export``: a finished file described for others."""

from collections.abc import Callable

import typer

from protocol.cli.args import (
    AsManifest,
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
from protocol.model.errors import BadUsage


def export_command(act: Callable[[ExportOptions], int]) -> Callable[..., None]:
    """The command ``export``. `act` reads the file and writes the document."""

    @spread
    def export(
        *,
        path: FinishedPath,
        metalink: AsMetalink = False,
        manifest: AsManifest = False,
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
        if metalink and manifest:
            raise BadUsage("--metalink and --manifest exclude each other")
        options = ExportOptions(
            path=path,
            manifest=manifest,
            mirrors=checked_mirrors(mirror) if mirror else (),
            piece_bytes=piece_size,
            output=output,
        )
        if job:
            from protocol.cli.remote.download import of_job

            options = of_job(link, job, options)
        raise typer.Exit(act(options))

    return export
