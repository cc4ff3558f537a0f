"""A search reply as aioslsk decodes it, in our words."""

from collections.abc import Iterator
from typing import Any

from actors.soulseek.ears import Reply


def reply_of(peer: str, message: Any) -> Reply:
    def files() -> Iterator[tuple[str, int, bool]]:
        for file in message.results:
            yield file.filename, file.filesize, False
        for file in message.locked_results or ():
            yield file.filename, file.filesize, True

    return Reply(
        ticket=message.ticket,
        peer=peer,
        files=files(),
        slots_free=bool(message.has_slots_free),
        speed_bytes_s=message.avg_speed,
        queue_length=message.queue_size,
    )
