"""Base classes and bounded field types of the API's request and response models.

Requests are validated strictly: no text where a number is meant, and no unknown member, because a misspelt ``checksum``
would quietly fetch a file unchecked. Responses are camelCase, made from view rows by attribute (the types below also
convert: an empty text, a negative number or a zero time of a row is null), and always have all their members.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AliasGenerator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
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
"""Of one request, and of one job unless the configuration says otherwise."""
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


_UNTIL_MS: Final = 4_102_444_800_000
"""The year 2100: a clock that shows more is wrong."""


class RequestModel(BaseModel):
    """Base of all bodies of the native API that clients send."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel, validate_by_name=True)


class ResponseModel(BaseModel):
    """Base of all answers of the native API; made from view rows by attribute."""

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        alias_generator=AliasGenerator(serialization_alias=to_camel),
        serialize_by_alias=True,
        validate_by_name=True,
        validate_by_alias=True,
    )


class AnyCase(BaseModel):
    """Base of bodies whose members may be written in any case, unknown ones ignored, as slskd's clients need.

    Where two names differ in case only, the one spelled as here counts.
    """

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        names = {(field.alias or name).lower(): field.alias or name for name, field in cls.model_fields.items()}
        spelled = {names[key.lower()]: one for key, one in value.items() if key.lower() in names}
        return {**spelled, **{name: value[name] for name in names.values() if name in value}}


def _whole(value: Any) -> Any:
    """``7.0`` is a whole number in JSON, and some write all numbers like that."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# fields of requests

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


def shortened(text: str) -> str:
    """Return a text from elsewhere, at most as long as an answer may hold."""
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"


def moment(at_ms: int | datetime) -> datetime:
    """Return a time in UTC, not beyond 2100."""
    if isinstance(at_ms, datetime):
        return at_ms
    return datetime.fromtimestamp(min(max(at_ms, 0), _UNTIL_MS) / 1000, UTC)


def _finite(value: float) -> float:
    """Return a number that JSON can express."""
    return min(max(value, 0.0), float(COUNT_MAX)) if value == value else 0.0


# fields of responses

Id = Annotated[str, Field(pattern=UUID, min_length=36, max_length=36)]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Number = Annotated[float, Field(ge=0, le=float(COUNT_MAX)), BeforeValidator(_finite)]
Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX), BeforeValidator(shortened)]
Moment = Annotated[datetime, BeforeValidator(moment)]
_OR_NULL: Final = BeforeValidator(lambda value: value or None)
IF_KNOWN: Final = BeforeValidator(lambda value: value if value is not None and value >= 0 else None)
MaybeText = Annotated[Text | None, _OR_NULL]
MaybeMoment = Annotated[Moment | None, _OR_NULL]
MaybeCount = Annotated[Count | None, IF_KNOWN]
MaybeNumber = Annotated[Number | None, IF_KNOWN]
