"""Words and options that several commands have, described once. A home of typer."""

from typing import Annotated, Final

import typer

from protocol.cli.parsing import DEMO_KINDS
from protocol.model.limits import HEX_DIGITS, MODES, SYNCS

_UNITS: Final = "K = 1024 bytes, M = 1024 K"

Urls = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="URL",
        help="Where the file is: http://, https:// or slsk://user/path, as many as there are.",
        show_default=False,
    ),
]
Term = Annotated[
    list[str] | None,
    typer.Argument(metavar="TERM", help="Words of the name, as Soulseek users search for it.", show_default=False),
]
Size = Annotated[str, typer.Option(metavar="BYTES", help="Only files of exactly this size.", show_default=False)]
Wait = Annotated[str, typer.Option(metavar="SECONDS", help="How long answers are waited for.")]
Targets = Annotated[str, typer.Option("--limit", metavar="N", help="Show at most so many targets.")]
Config = Annotated[
    str,
    typer.Option(
        metavar="PATH",
        help="File with the Soulseek account. [default: ./shoal.toml, ~/.config/shoal/shoal.toml]",
        show_default=False,
    ),
]
FoundJson = Annotated[bool, typer.Option("--json", help="One JSON object a line; the last one is search_ended.")]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="Name of the file, or a folder. [default: the source's name, here]",
        show_default=False,
    ),
]
ChunkSize = Annotated[str, typer.Option(metavar="SIZE", help=f"Unit of record and retry, 4K to 1M; {_UNITS}.")]
Checksum = Annotated[
    str,
    typer.Option(
        metavar="ALGO:HEX", help=f"What the file must hash to. ALGO: {', '.join(HEX_DIGITS)}.", show_default=False
    ),
]
Mode = Annotated[
    str,
    typer.Option(
        metavar="|".join(MODES),
        help="swarm: all sources share the file by speed. queue: chunk by chunk. failover: one source at a time. "
        "race: all fetch all, first wins.",
    ),
]
Limit = Annotated[
    str,
    typer.Option(
        metavar="RATE",
        help="Receive at most so much a second, like 500K or 2.5M/s. [default: no limit]",
        show_default=False,
    ),
]
Preallocate = Annotated[bool, typer.Option("--preallocate", help="Reserve the disk space at once.")]
Sync = Annotated[str, typer.Option(metavar="|".join(SYNCS), help="full: sealed means on the disk. none: no fsync.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout; the last one is job_ended.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but why it failed.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line for each stored chunk.")]
SlowRate = Annotated[str, typer.Option(metavar="RATE", help="Slower than this is slow; 0: nobody is.")]
SlowAfter = Annotated[str, typer.Option(metavar="SECONDS", help="How long a slow source is tolerated.")]
MemoryLimit = Annotated[str, typer.Option(metavar="SIZE", help="A process of ours with more is replaced.")]
Kind = Annotated[str, typer.Option(metavar="|".join(DEMO_KINDS), help="Kind of the sources that are played.")]
PartPath = Annotated[str, typer.Argument(metavar="PATH", help="A part file, or a name whose part file is meant.")]
Handed = Annotated[bool, typer.Option("--daemon", help="Let a running daemon do it, and show how it goes.")]
DaemonUrl = Annotated[
    str,
    typer.Option(
        "--url",
        metavar="URL",
        help="Where the daemon is. [env: SHOAL_URL; default: http://127.0.0.1:5030]",
        show_default=False,
    ),
]
ApiKey = Annotated[
    str,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="Its API key. [env: SHOAL_API_KEY, which is better: others can see options for a moment]",
        show_default=False,
    ),
]
ApiKeyFile = Annotated[
    str,
    typer.Option(
        "--api-key-file",
        metavar="PATH",
        help="File with the key. [default: the one of this user's daemon, for a daemon on this machine]",
        show_default=False,
    ),
]
RowsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout, as the API tells it.")]
