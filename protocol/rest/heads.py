"""Headers as middleware reads them."""

from starlette.types import Scope


def heads(scope: Scope, name: bytes) -> list[str]:
    """Every value of this header (lower case), in order."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def head(scope: Scope, name: bytes) -> str:
    """All values joined, as if they had been one; empty when there is none."""
    return ", ".join(heads(scope, name)).strip()
