"""Base of the value objects that travel between processes or are kept: immutable, made by keyword, flat on the wire."""

from typing import Any, Self, dataclass_transform

import msgspec


class _ValueMeta(msgspec.StructMeta):
    """Gives every subclass the settings of `Value`, of which msgspec does not hand all down by itself."""

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
