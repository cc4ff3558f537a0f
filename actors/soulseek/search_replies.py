"""A search reply as aioslsk decodes it, in our words."""

from collections.abc import Iterator
from typing import Any, Final

from actors.soulseek.ports import FoundFile, Reply

ATTRIBUTES_MAX: Final = 8


def reply_of(peer: str, message: Any) -> Reply:
    def files() -> Iterator[FoundFile]:
        for file in message.results:
            yield _file(file, locked=False)
        for file in message.locked_results or ():
            yield _file(file, locked=True)

    return Reply(
        ticket=message.ticket,
        peer=peer,
        files=files(),
        slots_free=bool(message.has_slots_free),
        speed_bytes_s=message.avg_speed,
        queue_length=message.queue_size,
    )


def _file(file: Any, *, locked: bool) -> FoundFile:
    attributes = tuple((one.key, one.value) for one in file.attributes[:ATTRIBUTES_MAX])
    return FoundFile(path=file.filename, size_bytes=file.filesize, locked=locked, attributes=attributes)
