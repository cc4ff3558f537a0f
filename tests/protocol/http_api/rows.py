"""Rows as the job manager and the memory would tell them."""

from typing import Any, Final

from protocol.model.job_views import Counts, JobDetail, JobView, SourceView
from tests.specs import job_view

ID: Final = "3f0c9f0e-6a2b-4b44-9d5c-0d9a3c1e7f00"
CHUNK: Final = 131072


def job_row(**changes: Any) -> JobView:
    """An active job of ten chunks, half of it stored."""
    usual: dict[str, Any] = {
        "id": ID,
        "number": 7,
        "name": "tide.flac",
        "folder": "/music",
        "path": "/music/tide.flac.part",
        "size_bytes": 10 * CHUNK,
        "chunk_size": CHUNK,
        "mode": "swarm",
        "state": "active",
        "phase": "riding",
        "origin": "multisource",
        "created_ms": 1_764_000_000_123,
        "started_ms": 1_764_000_001_000,
        "attempts": 1,
        "stored_bytes": 5 * CHUNK,
        "left_s": -1.0,
        "queue_place": -1,
        "source_count": 1,
    }
    return job_view(**usual | changes)


def source_row(**changes: Any) -> SourceView:
    usual: dict[str, Any] = {
        "number": 0,
        "url": "https://mirror.example/tide.flac",
        "standing": "active",
        "phase": "flowing",
        "lease_first": 5,
        "lease_stop": 8,
        "queue_place": -1,
    }
    return SourceView(**{"path": "", **usual, **changes})


def detail_row(*sources: SourceView, **changes: Any) -> JobDetail:
    return JobDetail(job=job_row(**changes), sources=sources or (source_row(),), notes=("a note",))


def counts_row(**changes: Any) -> Counts:
    return Counts(**{**dict.fromkeys(Counts.__struct_fields__, 0), "rate_bytes_s": 0.0, "schedule": (), **changes})
