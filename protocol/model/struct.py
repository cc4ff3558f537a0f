"""Structs: classes of declared fields, made, compared and hashed in C; the cheap kind of dataclass.

The standard library's `dataclass` compiles the methods of each class at every start, a millisecond each: a quarter of
the CPU of a small download was spent there. One difference counts: `repr` shows every field, so what must not be shown
(a login) stays a dataclass with ``field(repr=False)``.
"""

from msgspec import Struct, field
from msgspec.structs import replace

__all__ = ["Struct", "field", "replace"]
