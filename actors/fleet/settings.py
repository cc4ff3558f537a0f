"""Settings and messages of the fleet process. The front makes them, so nothing that a fleet needs is imported here."""

from dataclasses import dataclass, field

from actors.runtime.process import ProcessSpec
from protocol.messages import (
    EventOccurred,
    ExplainFleetJob,
    FilesListed,
    GetFleet,
    ListFleetJobs,
    ListFleetNodes,
    OrderFleet,
    ProcessLost,
    ProcessReady,
    RequestAnswered,
    RequestRefused,
    SessionChanged,
    Ticked,
)
from protocol.messages.addresses import FLEET, split_address

FleetInbox = (
    GetFleet
    | ListFleetNodes
    | ListFleetJobs
    | ExplainFleetJob
    | OrderFleet
    | RequestAnswered
    | RequestRefused
    | EventOccurred
    | FilesListed
    | SessionChanged
    | ProcessLost
    | ProcessReady
    | Ticked
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAccess:
    """Access to the destination. Empty: as usual for its kind; the key as S3's tools find theirs."""

    address: str
    """``s3://bucket/prefix``, an absolute folder, or ``node://NAME/folder``."""
    endpoint: str = ""
    region: str = ""
    key_id: str = ""
    secret: str = field(default="", repr=False)
    lent: bool = False
    """This node has no key: others sign for it."""
    node: str = ""
    """This node's name: a folder of its own is kept here."""
    parts_host: str = ""
    """Where parts are offered to the node that keeps the folder; empty: by which `broker` is reached."""
    parts_port: int = 0
    broker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStart:
    """This node, its fleet, and what it gives to it."""

    servers: tuple[str, ...]
    fleet: str
    node: str
    store: StoreAccess
    folder: str
    """Of bytes on their way to the destination; absolute."""
    seed_file: str = ""
    creds_file: str = ""
    ca_file: str = ""
    replicas: int = 1
    ttl_s: float = 20.0
    slots: int = 2
    """Jobs of the fleet that it works on at a time."""
    private_ok: bool = False
    version: str = ""


def fleet_process(start: FleetStart, **common: object) -> ProcessSpec:
    """Return the process of this daemon's node."""
    return ProcessSpec(
        process=split_address(FLEET)[0],
        builder="actors.fleet.actor:build",
        settings=start,
        whole=True,
        **common,  # type: ignore[arg-type]
    )
