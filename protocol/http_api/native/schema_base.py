"""What all models of the API have in common: camelCase, a description and a bound for everything.

What a client sends is taken strictly: no text where a number is meant, and no member that is not known, because a
misspelt ``checksum`` would quietly fetch a file unchecked. What is told always has all its members; what is not known
or does not apply is null.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from protocol.model.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN, HEX_DIGITS, TERM_CHARS_MAX
from protocol.model.source_url import URL_BYTES_MAX

SIZE_MAX: Final = 1 << 45
RATE_MAX: Final = 1 << 45
PRIORITY_MAX: Final = 1000
PATH_CHARS_MAX: Final = 4000
USERNAME_CHARS_MAX: Final = 100
TEXT_CHARS_MAX: Final = 8000
SOURCES_MAX: Final = 256
"""Of one request, and of one job unless the job manager is told otherwise."""
PAGE_MAX: Final = 1000
OFFSET_MAX: Final = 1_000_000_000
CHUNKS_MAX: Final = SIZE_MAX // CHUNK_SIZE_MIN
COUNT_MAX: Final = (1 << 53) - 1
"""The largest whole number that every JSON reader keeps."""

PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]+$"
NAMED: Final = (
    r"^([^\x00-\x1f\x7f-\x9f]*[/\\])?[^\x00-\x1f\x7f-\x9f/\\]*[^\x00-\x20\x7f-\xa0/\\.][^\x00-\x1f\x7f-\x9f/\\]*$"
)
"""A path whose last part is more than dots and blanks."""
UUID: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
URL: Final = r"^([hH][tT][tT][pP][sS]?|[sS][lL][sS][kK])://[^\x00-\x20\x7f-\xa0]+$"
CHECKSUM: Final = "^(" + "|".join(f"{name}:[0-9a-fA-F]{{{digits}}}" for name, digits in HEX_DIGITS.items()) + ")$"
BARE_HASHES: Final = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
"""What a digest without an algorithm is taken for, by its number of hexadecimal digits."""
BARE_HASH: Final = "^(" + "|".join(f"[0-9a-fA-F]{{{digits}}}" for digits in BARE_HASHES) + ")$"


class Asked(BaseModel):
    """Base of all bodies that clients send."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel, validate_by_name=True)


class Told(BaseModel):
    """Base of all that is answered."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)


def _whole(value: Any) -> Any:
    """``7.0`` is a whole number in JSON, and some write all numbers like that."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# what is asked

WHOLE: Final = BeforeValidator(_whole)

FileSize = Annotated[int, Field(ge=0, le=SIZE_MAX), WHOLE]
ChunkSize = Annotated[int, Field(ge=CHUNK_SIZE_MIN, le=CHUNK_SIZE_MAX), WHOLE]
Rate = Annotated[int, Field(ge=0, le=RATE_MAX), WHOLE]
Priority = Annotated[int, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX), WHOLE]
Term = Annotated[str, Field(min_length=1, max_length=TERM_CHARS_MAX, pattern=PRINTABLE)]
Folder = Annotated[str, Field(min_length=1, max_length=250, pattern=PRINTABLE)]
Path = Annotated[str, Field(min_length=1, max_length=PATH_CHARS_MAX, pattern=PRINTABLE)]
FileName = Annotated[str, Field(min_length=1, max_length=PATH_CHARS_MAX, pattern=NAMED)]
Username = Annotated[str, Field(min_length=1, max_length=USERNAME_CHARS_MAX, pattern=PRINTABLE)]
Url = Annotated[str, Field(min_length=8, max_length=URL_BYTES_MAX, pattern=URL)]

# what is told

Id = Annotated[str, Field(pattern=UUID, min_length=36, max_length=36)]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Number = Annotated[float, Field(ge=0, le=float(COUNT_MAX))]
Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]


def shortened(text: str) -> str:
    """A text from elsewhere, as long as an answer may hold."""
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"
