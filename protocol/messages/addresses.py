"""Posts, which are messages with their addressees, and the addresses of actors.

An address is ``process/actor``: ``hub/pool``, ``store/assembler``, ``fetch-2/worker-1-7``. These functions are the only
place that knows how an address is spelled.
"""

from typing import Final

from protocol.messages import Message
from protocol.model.value import Struct

POOL: Final = "hub/pool"
WATCHDOG: Final = "hub/watchdog"
ASSEMBLER: Final = "store/assembler"
PEER_HISTORY: Final = "store/peer-history"
SESSION: Final = "soulseek/session"
JOB_MANAGER: Final = "jobs/manager"
GATEWAY: Final = "api/gateway"
"""Gets answers and events for the API."""
FLEET: Final = "fleet/node"
"""This daemon's node of a fleet, where one is configured."""
FRONT: Final = "front/front"
"""The process that a user started: supervisor and display."""


class Post(Struct, frozen=True, kw_only=True):
    """A message and the address it goes to."""

    to: str
    message: Message


def dispatcher_address(job: int) -> str:
    """Return the address of a job's ChunkDispatcher."""
    return f"hub/dispatcher-{job}"


def worker_address(process: str, job: int, source: int) -> str:
    """Return the address of a source's PeerWorker."""
    return f"{process}/worker-{job}-{source}"


def shelf_address(process: str) -> str:
    """Return where free slots of a fetch process go: not to a worker, which may have ended meanwhile."""
    return f"{process}/shelf"


def root_address(process: str) -> str:
    """Return the address of a process's root."""
    return f"{process}/root"


def split_address(address: str) -> tuple[str, str]:
    """Return ``(process, actor)``."""
    process, _, actor = address.partition("/")
    return process, actor
