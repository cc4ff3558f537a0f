"""Base of the value objects that travel between processes or are stored: immutable, made by keyword, flat as a row.

Beside it structs for all else: classes of declared fields, made, compared and hashed in C, the cheap kind of dataclass.
The standard library's `dataclass` compiles the methods of each class at every start, a millisecond each: a quarter of
the CPU of a small download was spent there. One difference counts: `repr` shows every field, so what must not be shown
(a login) stays a dataclass with ``field(repr=False)``. And the base of what is closed at the end of a ``with``, and
regular expressions that cost nothing before they are used.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, AnyStr, Generic, NamedTuple, Self, TypeVar, cast, dataclass_transform, get_origin

import msgspec
from msgspec import Struct, field
from msgspec.structs import fields, replace

__all__ = ["Closing", "Column", "RowFormat", "Struct", "Value", "field", "fields", "late_pattern", "replace"]


class _ValueMeta(msgspec.StructMeta):
    """Metaclass that gives subclasses the settings of `Value`, of which msgspec hands only some down by itself."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> "_ValueMeta":
        shared = {"frozen": True, "kw_only": True, "array_like": True, "gc": False, "forbid_unknown_fields": True}
        return super().__new__(mcs, name, bases, namespace, **{**shared, **config})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, metaclass=_ValueMeta, frozen=True):
    """Immutable fields, given by name. Encoded as an array in the order of their declaration: append, never insert.

    Holds only numbers, text, bytes, other values and tuples of those, so there are no cycles for the garbage collector
    to look for. Structs are msgspec's: made, compared, hashed and coded in C.
    """

    def but(self, **changed: Any) -> Self:
        """Return the same with other values for some fields."""
        return msgspec.structs.replace(self, **changed)

    def fields(self) -> dict[str, Any]:
        """Return the fields by name; embedded values stay what they are."""
        return msgspec.structs.asdict(self)


V = TypeVar("V", bound=Value)


class Column(NamedTuple):
    """One column of a flat row, of a plain type: a tuple is kept as JSON. `default` None: it has none."""

    name: str
    kind: type
    default: Any


class RowFormat(Generic[V]):
    """A class of values as flat rows: a column for each field, those of embedded values in the embedding one's place.

    No two columns may have the same name.
    """

    def __init__(self, cls: type[V]) -> None:
        self._cls = cls
        leaves = list(_leaves(cls, ""))
        self.columns = tuple(column for _, column in leaves)
        self._read = attrgetter(*(path for path, _ in leaves))
        self._parts = tuple(_parts(cls, iter(range(len(leaves)))))
        self._tuples = tuple(at for at, column in enumerate(self.columns) if column.kind is tuple)

    def row(self, value: V) -> tuple[Any, ...]:
        """Return the row of a value."""
        found: tuple[Any, ...] = self._read(value)
        return self._recoded(found, lambda field: msgspec.json.encode(field).decode()) if self._tuples else found

    def value(self, row: Sequence[Any]) -> V:
        """Return the value of a row; flags may be 0 and 1. Raises `ValueError` for a row of other types."""
        whole = self._recoded(row, msgspec.json.decode) if self._tuples else row
        return msgspec.convert(_nested(self._parts, whole), self._cls, strict=False)

    def _recoded(self, row: Sequence[Any], code: Callable[[Any], Any]) -> tuple[Any, ...]:
        return tuple(code(field) if at in self._tuples else field for at, field in enumerate(row))


_Parts = tuple[Any, ...]
"""For each field its place in the row, or the parts of an embedded value."""


def _is_value(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Value)


def _leaves(cls: type[Value], prefix: str) -> Iterator[tuple[str, Column]]:
    for each in msgspec.structs.fields(cls):
        if _is_value(each.type):
            yield from _leaves(each.type, f"{prefix}{each.name}.")
        else:
            default = None if each.default is msgspec.NODEFAULT else each.default
            yield prefix + each.name, Column(each.name, get_origin(each.type) or each.type, default)


def _parts(cls: type[Value], places: Iterator[int]) -> Iterator[Any]:
    for each in msgspec.structs.fields(cls):
        yield tuple(_parts(each.type, places)) if _is_value(each.type) else next(places)


def _nested(parts: _Parts, row: Sequence[Any]) -> list[Any]:
    return [row[part] if type(part) is int else _nested(part, row) for part in parts]


class Closing:
    """Object whose `close` ends what it owns; done at the end of a ``with`` too."""

    def close(self) -> None:
        """End what it owns. Idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class _LatePattern:
    def __init__(self, text: Any, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        """Compile at the first use of a method; from then on it is found like any attribute."""
        found = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, found)
        return found


def late_pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return a regular expression that is compiled when it is used first: up to a millisecond, which few starts need.

    Raises `re.error` then.
    """
    return cast("re.Pattern[AnyStr]", _LatePattern(text, flags))
