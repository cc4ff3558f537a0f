"""Command-line entry point: ``python run.py ...`` in a checkout, ``shoal ...`` where the package is installed.

What each command does stands in `actors.local`, `actors.demo` and `actors.daemon`, and is imported when it is called.
"""

import os
import sys
from typing import NoReturn

HERE = os.path.dirname(os.path.abspath(__file__))
if sys.path[:1] != [HERE]:
    sys.path.insert(0, HERE)  # in a checkout and in a wheel alike, the packages lie beside this file


def main() -> int:
    """Act on the command line of this process and return the exit code."""
    from actors.local.start_up import Command, run_command_line

    return run_command_line(
        get=Command("actors.local.get:get"),
        search=Command("actors.local.search:search"),
        verify=Command("actors.local.verify:verify"),
        digest=Command("actors.local.verify:digest"),
        export=Command("actors.local.export:export"),
        document=Command("actors.document_fetch:fetch_document"),
        demo=Command("actors.demo.main:demo"),
        daemon=Command("actors.daemon.main:run"),
    )


def shoal() -> NoReturn:
    """Run the program and end the process; the entry point of the command ``shoal``."""
    from actors.local.start_up import leave

    try:
        exit_code = main()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        exit_code = end.code
    leave(exit_code)


if __name__ == "__main__":
    shoal()
