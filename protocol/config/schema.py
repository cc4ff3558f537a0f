"""Schema of configuration values: bounds and formats as annotations of a field's type, and the conversion by them.

A field of the settings is declared as ``name: Annotated[type, msgspec.Meta(...), Key(...)] = default``. `msgspec.Meta`
has the bounds, `Key` what the file, the printed configuration and a reload need to know, and `Format` what no bound can
say. Every refusal is a ValueError with the end of a sentence that begins with the key's name; it never quotes a value.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache, partial
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from protocol.model.fleet.names import is_fleet_name
from protocol.model.http_options import (
    check_command,
    check_header,
    check_interface,
    check_proxy,
    check_socks,
    check_text,
)
from protocol.model.limits import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN, DAYS, MEMORY_LIMIT_MIN
from protocol.model.placing.output_template import KINDS, check_folder_mode, check_mode, check_template
from protocol.model.source_url import is_host_name
from protocol.model.units import parse_chunk_size, parse_rate, parse_size, parse_time_of_day

RESTART: Final = "restart"
"""Of a key: a new value holds only after a restart."""
SECRET: Final = "secret"
"""Of a key: it is never shown, and a row may leave it to a credential."""


class Key:
    """A key of the configuration file: what it means, and whether it is `RESTART` or `SECRET`.

    `name`: in the file, empty: the field's. `unit`: the file's number times this is the field's, and the bounds are
    those of the field. `default`: in TOML, where it cannot be made from the field's. `example`: shown where there is no
    default.
    """

    def __init__(
        self, meaning: str, *marks: str, name: str = "", unit: int = 1, default: str = "", example: str = ""
    ) -> None:
        self.meaning, self.name, self.unit, self.default, self.example = meaning, name, unit, default, example
        self.restart, self.secret = RESTART in marks, SECRET in marks


@dataclass(frozen=True, slots=True)
class Format:
    """Check that bounds cannot express.

    `parse` returns the good value or raises ValueError; it is given a value of the field's type, or of the type
    `written` where the file has another one.
    """

    parse: Callable[[Any], Any]
    written: Any = None


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a table: where its value goes, its annotated type, and whether a row may lack it."""

    name: str
    kind: Any
    key: Key
    default: Any

    @property
    def required(self) -> bool:
        return self.default is MISSING and not self.key.secret


@cache
def fields_of(table: type) -> dict[str, Field]:
    """The keys of a table of the file, by their names there."""
    hints = get_type_hints(table, include_extras=True)
    found = {}
    for one in fields(table):
        keys = [note for note in get_args(hints[one.name])[1:] if isinstance(note, Key)]
        for key in keys:
            found[key.name or one.name] = Field(one.name, hints[one.name], key, one.default)
    return found


def converted(value: object, field: Field) -> Any:
    """The setting that a value of the file makes. Raises ValueError."""
    return _converted(value, field.kind, unit=field.key.unit, strict=True)


def converted_word(word: str, field: Field) -> Any:
    """The setting that a word of the environment makes: lists are separated by commas. Raises ValueError."""
    value: str | list[str] = word
    if get_origin(get_args(field.kind)[0]) is tuple:
        value = [part.strip() for part in word.split(",")]
    return _converted(value, field.kind, unit=field.key.unit, strict=False)


def _converted(value: object, kind: Any, *, unit: int = 1, strict: bool) -> Any:
    base, *notes = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    meta = next((note for note in notes if isinstance(note, Meta)), Meta())
    formats = [note for note in notes if isinstance(note, Format)]
    if formats and formats[0].written is not None:
        good = _converted(value, formats[0].written, strict=strict)
    elif get_origin(base) is tuple:
        most, noun = meta.max_length or 0, meta.title or "values"
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"must be a list of at most {most} {noun} in [ ]")
        if len(value) < (meta.min_length or 0):
            raise ValueError(meta.description)
        good = tuple(_converted(one, get_args(base)[0], strict=strict) for one in value)
    else:
        try:
            good = msgspec.convert(
                value.strip() if isinstance(value, str) and base is not str else value, base, strict=strict
            )
            good = msgspec.convert(good * unit if unit != 1 else good, Annotated[base, meta])
        except msgspec.ValidationError:
            raise ValueError(_expected(value, base, meta, unit)) from None
        if isinstance(good, str) and not good.isprintable():
            raise ValueError(_expected(value, base, meta, unit))
    for one in formats:
        good = one.parse(good)
    return good


def _expected(value: object, base: Any, meta: Meta, unit: int) -> str:
    if get_origin(base) is Literal:
        return f"must be one of {', '.join(map(str, get_args(base)))}"
    if base is bool:
        return "must be true or false"
    if base is int:
        return f"must be a whole number from {int(meta.ge or 0) // unit} to {int(meta.le or 0) // unit}"
    if base is float:
        return f"must be a number of seconds from {meta.ge:g} to {meta.le:g}"
    if base is str and isinstance(value, str):
        return f"must have {meta.min_length or 0} to {meta.max_length} printable characters"
    return "must be a text in quotes" if base is str else (meta.description or "is of another kind")


# Formats that several keys have.


def is_address(word: str) -> bool:
    """Return whether this is an IP address."""
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether this host is this machine alone."""
    return ipaddress.ip_address(host).is_loopback if is_address(host) else host.lower() == "localhost"


def _where(good: Callable[[str], object], words: str, *, lower: bool = False) -> Format:
    """A format of texts for which `good` is true."""

    def parse(word: str) -> str:
        if not good(word):
            raise ValueError(words)
        return word.lower() if lower else word

    return Format(parse)


def _refusing(check: Callable[[str], None]) -> Callable[[str], str]:
    def parse(word: str) -> str:
        check(word)
        return word

    return parse


def _pattern(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


def _is_url(word: str, *, schemes: tuple[str, ...] = ("http", "https")) -> bool:
    try:
        parts = urlsplit(word)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and " " not in word
    except ValueError:
        return False


def _is_destination(word: str) -> bool:
    bucket = re.match(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/[^\x00-\x20]*)?$", word)
    kept = re.match(r"node://([^/]*)(/.+)$", word)
    folder = kept[2] if kept is not None and is_fleet_name(kept[1]) else word
    return bucket is not None or (folder.startswith("/") and len(folder) > 1)


def _network(word: str) -> str:
    try:
        return str(ipaddress.ip_network(word))
    except ValueError:
        raise ValueError("must be networks, like 192.168.1.0/24 or ::1/128") from None


def _url_base(word: str) -> str:
    """Empty for ``/``, else with a slash at its beginning and none at its end."""
    base = word.strip("/")
    if base and not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", base):
        raise ValueError("must be a path, like /shoal")
    return f"/{base}" if base else ""


def _headers(table: dict[str, str]) -> tuple[tuple[str, str], ...]:
    for name, word in table.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name):
            raise ValueError("must have header names and texts")
        if not (word.isascii() and word.isprintable() and len(word) <= 1000):
            raise ValueError("must have texts of at most 1000 printable ASCII characters")
    return tuple(table.items())


def _roots(table: dict[str, str]) -> tuple[str, ...]:
    known = (*KINDS, "other")
    for kind, folder in table.items():
        if kind not in known:
            raise ValueError(f"must have kinds of files and folders; the kinds are {', '.join(known)}")
        if not os.path.isabs(os.path.expanduser(folder)) or not folder.isprintable() or "=" in kind:
            raise ValueError("must have absolute folders")
    return tuple(f"{kind}={os.path.normpath(os.path.expanduser(folder))}" for kind, folder in sorted(table.items()))


def _parsed(parse: Callable[[str], int], words: str, most: int = 30) -> Format:
    """A format of texts that `parse` takes."""

    def amount(word: str) -> int:
        try:
            return parse(word)
        except ValueError:
            raise ValueError(words) from None  # its own words quote the value

    return Format(amount, Annotated[str, Meta(min_length=1, max_length=most)])


def _chunk_size(size: int) -> int:
    if 0 < size < CHUNK_SIZE_MIN:
        raise ValueError(f"must be 0, or a whole number from {CHUNK_SIZE_MIN >> 10} to {CHUNK_SIZE_MAX >> 10}")
    return size


def _memory(word: str) -> int:
    if (size := parse_size(word)) < MEMORY_LIMIT_MIN:
        raise ValueError
    return size


def _folder(word: str) -> str:
    return os.path.join(os.path.expanduser(word), "")


def _origin(word: str) -> str:
    parts = urlsplit(word)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError("must be origins, like https://page.example.org:8080")
    return word.rstrip("/").lower()


_TEXT: Final = Meta(min_length=1, max_length=4096)
_TOKEN: Final = _where(_pattern("[!-~]*"), "must be of ASCII letters, figures and signs, without spaces")
_IS_HOST: Final = _where(lambda word: is_host_name(word) or is_address(word), "is no possible host name")
_IS_ADDRESS: Final = _where(is_address, "must be an address of this machine, like 0.0.0.0 or 127.0.0.1")
_HOST_PATTERN: Final = r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
_IS_PATTERN: Final = _where(
    _pattern(_HOST_PATTERN), "must be host names, like nas.example.org, *.example.org or *", lower=True
)
_IS_URL: Final = _where(_is_url, "must be an address that begins with http:// or https://")
_IS_BROKER: Final = _where(
    partial(_is_url, schemes=("nats", "tls")), "must be addresses that begin with nats:// or tls://"
)
_IS_DESTINATION: Final = _where(
    _is_destination, "must be s3://bucket, s3://bucket/folder, an absolute folder or node://NAME/folder"
)
_IS_FLEET_NAME: Final = _where(is_fleet_name, "must have 1 to 32 small letters, figures and, between them, dashes")
_ROOTS: Final = Meta(max_length=10, description="must be a table, like { audio = '/srv/music' }")
_TABLE: Final = Meta(max_length=20, description="must be a table of at most 20 headers, like { X-Token = 'word' }")

Path = Annotated[str, _TEXT]
Word = Annotated[str, _TEXT]
OutputFolder = Annotated[str, _TEXT, Format(_folder)]
"""Ends with a slash, as an ``-o`` that means a folder."""
UserPath = Annotated[str, Format(os.path.expanduser, Path)]
Name = Annotated[str, Meta(min_length=1, max_length=60), _TOKEN]
Token = Annotated[str, Meta(min_length=16, max_length=255), _TOKEN]
"""A secret that goes into a header."""
Host = Annotated[str, Meta(min_length=1, max_length=254), _IS_HOST]
HostPattern = Annotated[str, Meta(min_length=1, max_length=254), _IS_PATTERN]
"""A name, ``*.`` and a name, or ``*``."""
Address = Annotated[str, Meta(min_length=1, max_length=60), _IS_ADDRESS]
Network = Annotated[str, Meta(min_length=1, max_length=60), Format(_network)]
UrlBase = Annotated[str, Meta(max_length=200), Format(_url_base)]
OptionalWord = Annotated[str, Format(str, Word)]
OptionalAddress = Annotated[str, Format(str, Address)]
Interface = Annotated[str, Format(_refusing(check_interface), Word)]
SocksProxy = Annotated[str, Format(_refusing(check_socks), Word)]
Proxy = Annotated[str, Format(_refusing(check_proxy), Word)]
HeaderLine = Annotated[str, Format(_refusing(check_header), Word)]
FieldText = Annotated[str, Format(_refusing(check_text), Word)]
Command = Annotated[str, Format(_refusing(check_command), Word)]
OutputTemplate = Annotated[str, Format(_refusing(check_template), Word)]
FileMode = Annotated[str, Format(_refusing(check_mode), Word)]
FolderMode = Annotated[str, Format(_refusing(check_folder_mode), Word)]
OptionalToken = Annotated[str, Format(str, Token)]
Login = Annotated[str, Format(str, Annotated[str, Meta(min_length=1, max_length=255)])]
Password = Annotated[str, Format(str, Annotated[str, Meta(min_length=8, max_length=1024)])]
"""These are empty where the file has none."""
Origin = Annotated[str, Meta(min_length=1, max_length=300), Format(_origin)]
WebUrl = Annotated[str, Meta(min_length=1, max_length=2000), _IS_URL]
OptionalWebUrl = Annotated[str, Format(str, WebUrl)]
Broker = Annotated[str, Meta(min_length=1, max_length=300), _IS_BROKER]
Destination = Annotated[str, Format(str, Annotated[str, Meta(min_length=1, max_length=1000), _IS_DESTINATION])]
FleetName = Annotated[str, Meta(min_length=1, max_length=32), _IS_FLEET_NAME]
RateText = Annotated[int, _parsed(parse_rate, "must be a rate, like 500K or 2.5M")]
MemoryText = Annotated[int, _parsed(_memory, f"must be a size of at least {MEMORY_LIMIT_MIN >> 20}M, like 1G")]
ChunkSizeText = Annotated[int, _parsed(parse_chunk_size, "must be auto, or a size from 4K to 1M")]
"""Written with units, as on the command line."""
ChunkSize = Annotated[int, Meta(ge=0, le=CHUNK_SIZE_MAX), Format(_chunk_size)]
Roots = Annotated[tuple[str, ...], Format(_roots, Annotated[dict[str, str], _ROOTS])]
Headers = Annotated[tuple[tuple[str, str], ...], Format(_headers, Annotated[dict[str, str], _TABLE])]
_TIME: Final = 'must be a time of the day, like "23:30"'
BeginMinute = Annotated[int, _parsed(parse_time_of_day, _TIME)]
EndMinute = Annotated[int, _parsed(partial(parse_time_of_day, end=True), _TIME)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Days = Annotated[
    tuple[int, ...],
    Format(
        lambda days: tuple(sorted({DAYS.index(day) for day in days})),
        Annotated[tuple[Day, ...], Meta(max_length=len(DAYS), title="days")],
    ),
]
