"""The fleet as a table: nodes that are there, and those that are gone with the jobs they had."""

from typing import Any, Final

from protocol.cli.commands.fleet import status_lines

FLEET: Final[dict[str, Any]] = {
    "fleet": "lab",
    "destination": "s3://box",
    "leader": "n1",
    "node": "n1",
    "state": "joined",
    "text": None,
    "limitBytesS": 0,
    "nodes": [{"name": "n1", "freeBytes": None, "draining": True, "rateBytesS": 2048.0, "jobs": 1, "slots": 8}],
    "gone": [
        {"name": "n2", "silentS": 65.0, "jobs": ["big.iso", "e\x07vil"]},
        {"name": "n3", "silentS": 90_000.0, "jobs": []},
    ],
}


def test_nodes_that_are_gone_are_reported_since_when_and_with_their_jobs() -> None:
    first, here, *gone = status_lines(FLEET)
    assert first == "fleet lab into s3://box, leader n1, asked n1"
    assert here.split() == ["n1", "2.0", "KiB/s", "1/8", "jobs", "?", "free", "drains"]
    assert [line.split(None, 1) for line in gone] == [
        ["n2", "gone, silent for 1 min 05 s, had big.iso, e\ufffdvil"],
        ["n3", "gone, silent for 1 d 01 h"],
    ]
