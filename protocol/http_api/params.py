"""Path, query and header parameters shared by routes, described and bounded once."""

from typing import Annotated, Any, Final

from fastapi import Header, Path, Query
from pydantic import BeforeValidator

from protocol.http_api.schema_base import (
    OFFSET_MAX,
    PAGE_MAX,
    PATH_CHARS_MAX,
    PRINTABLE,
    TEXT_CHARS_MAX,
    USERNAME_CHARS_MAX,
    UUID,
)

PAGE: Final = 100
WAIT_S: Final = 3600
WAIT_S_MAX: Final = 86_400
KEY_CHARS_MAX: Final = 255
_FLAGS: Final = {"true": True, "false": False}


def _flag(value: Any) -> Any:
    """``true`` and Python's ``True``; not ``1``, ``on`` or ``yes``, which the document does not promise."""
    return _FLAGS.get(value.lower(), "neither") if isinstance(value, str) else value


Flag = Annotated[bool, BeforeValidator(_flag)]

JobId = Annotated[
    str,
    Path(
        description="The job's id.",
        pattern=UUID,
        min_length=36,
        max_length=36,
        examples=["3f0c9f0e-6a2b-4b44-9d5c-0d9a3c1e7f00"],
    ),
]
Username = Annotated[
    str,
    Path(
        description="Name of a Soulseek user, percent-encoded.",
        min_length=1,
        max_length=USERNAME_CHARS_MAX,
        pattern=PRINTABLE,
        examples=["ann"],
    ),
]
Offset = Annotated[int, Query(description="How many rows are skipped.", ge=0, le=OFFSET_MAX)]
Limit = Annotated[int, Query(description="Rows on a page.", ge=1, le=PAGE_MAX)]
Text = Annotated[str, Query(description="Looked for in names and paths; empty: everything.", max_length=PATH_CHARS_MAX)]
User = Annotated[str, Query(description="Only those of this Soulseek user; empty: all.", max_length=USERNAME_CHARS_MAX)]
Wait = Annotated[
    Flag,
    Query(
        description=(
            "Hold the answer until the job ended: then it is 200 with the job. A client that goes away meanwhile, or "
            "waitS running out (then it is 202), does not touch the job."
        )
    ),
]
WaitS = Annotated[int, Query(alias="waitS", description="Seconds to hold the answer at most.", ge=1, le=WAIT_S_MAX)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description=(
            "Chosen by the client, new for each order. The same key with the same body names the same job, until that "
            "is deleted: an order whose answer was lost can be repeated. With another body it is refused with 409."
        ),
        min_length=1,
        max_length=KEY_CHARS_MAX,
        pattern=r"^[\x21-\x7e]+$",
        examples=["0b6c2c4e-order-17"],
    ),
]
FolderName = Annotated[
    str,
    Query(
        description="Remote path of one folder, as the user tells it; empty: everything that is shared.",
        max_length=TEXT_CHARS_MAX // 2,
    ),
]
