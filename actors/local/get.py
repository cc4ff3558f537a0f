"""Entry of ``get`` and ``swarm``: one file or a folder, bound to an interface, written to a file, a pipe or stdout."""

import dataclasses
import os
import shutil
import sys
from typing import Final

from actors.local.download import download
from actors.local.start_up import CLOSED
from actors.runtime.network_interface import InterfaceGone, check_interface_there
from actors.runtime.run_folder import temporary_folder
from protocol.cli.parsing import GetOptions
from protocol.model.printable import printable
from protocol.model.value import replace

COPY_BYTES: Final = 1 << 20


def get(options: GetOptions) -> int:
    """Run ``get`` or ``swarm`` and return the exit code."""
    try:
        options = _bound(options)
    except InterfaceGone as gone:
        sys.stderr.write(f"error: --interface: {printable(gone.words)}\n")
        return 2
    if options.whole_folder:
        from actors.local.folder import get_folder  # a module of its own for what few orders need

        return get_folder(options)
    if not options.copy_to:
        return download(options)
    if options.copy_to in ("-", "/dev/stdout") and 1 in CLOSED:
        sys.stderr.write(f"error: -o {options.copy_to}: stdout is closed\n")
        return 2
    with temporary_folder() as folder:
        code = download(replace(options, spec=options.spec.but(folder=folder)))
        for name in os.listdir(folder) if code == 0 else ():
            code = _copy(os.path.join(folder, name), options.copy_to)
    if code == 0 and not options.quiet:  # the name before was that of a file that is gone
        sys.stderr.write(f"written: {_shown(options.copy_to)}\n")
    return code


def _bound(options: GetOptions) -> GetOptions:
    """Return the options with one interface for HTTP and Soulseek. Raises `InterfaceGone`."""
    account = options.account
    interface = options.spec.http.interface or (account.interface if account is not None else "")
    check_interface_there(interface)
    http = options.spec.http.but(interface=interface)
    account = dataclasses.replace(account, interface=interface) if account is not None else None
    return replace(options, spec=options.spec.but(http=http), account=account)


def _copy(path: str, to: str) -> int:
    """Write a finished file to stdout, a pipe or a device; return the exit code."""
    try:
        with open(path, "rb") as source, open(1 if to == "-" else to, "wb", closefd=to != "-") as target:
            shutil.copyfileobj(source, target, COPY_BYTES)
    except BrokenPipeError:
        return 0  # the reader has what it wanted
    except OSError as error:
        sys.stderr.write(f"error: cannot write to {_shown(to)}: {error.strerror}\n")
        return 5
    return 0


def _shown(to: str) -> str:
    return "stdout" if to == "-" else printable(to)
