"""A daemon without a fleet loads nothing of one."""

import subprocess
import sys

import pytest

HEAVY = ("nats", "nkeys", "botocore", "aiohttp", "actors.fleet.bus", "actors.fleet.node", "actors.fleet.store")


@pytest.mark.long
def test_nothing_of_a_fleet_is_loaded_where_none_is_configured() -> None:
    """All that the daemon and its children load, in a process of its own."""
    code = (
        "import importlib, sys\n"
        "from actors.daemon import main\n"
        "for name in ('actors.daemon.front', 'actors.daemon.processes', 'protocol.cli.app', *main.PRELOADED):\n"
        "    importlib.import_module(name)\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
