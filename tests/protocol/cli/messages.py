"""Jobs as the API tells them, with sensible members."""

from typing import Any

ID = "3f0c9f0e-6a2b-4b44-9d5c-0d9a3c1e7f00"


def source_json(number: int, url: str = "http://a/f", **members: Any) -> dict[str, Any]:
    return {
        "number": number, "url": url, "username": None, "fullPath": None, "standing": "active", "phase": "flowing",
        "reason": None, "rateBytesS": 5.0, "bytesStored": 10, "chunks": 1, "leases": 1, "stops": 0, "leaseFirst": None,
        "leaseStop": None, "queuePlace": None, **members,
    }  # fmt: skip


IDENTITY = {
    "kind": "overlap", "checksAgreed": 4, "checksDisagreed": 1, "groups": 1, "contributors": 2, "excludedShare": 0.684,
    "excluded": ["http://odd/f"], "agreedChunks": [1, 3], "disagreedChunks": [2], "freedFirsts": [5], "freedStops": [7],
    "container": "", "text": "of the API",
}  # fmt: skip


def job_json(*sources: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "id": ID, "state": "active", "phase": "riding", "reason": None, "outcome": None, "name": "tide.flac",
        "term": None, "path": "/d/tide.flac.part", "sizeBytes": 1000, "storedBytes": 370, "receivedBytes": 400,
        "refetchedBytes": 0, "resumedBytes": 0, "rateBytesS": 50.0, "leftS": 12.6, "activeS": 7.0, "chunkSize": 100,
        "checksum": None, "digestHex": None, "sourcesActive": 1, "sourceCount": len(sources), "chunkMap": None,
        "notes": [], "sources": list(sources), "identity": IDENTITY, **members,
    }  # fmt: skip


def map_json(*runs: tuple[int, int, str, int | None]) -> dict[str, Any]:
    rows = [{"first": first, "count": count, "state": state, "source": source} for first, count, state, source in runs]
    return {"chunkSize": 100, "chunkCount": sum(run[1] for run in runs), "runs": rows, "truncated": False}
