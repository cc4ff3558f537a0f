"""Names of the files that belong to a target, all in one folder. What makes a name safe is in `protocol.names`."""

import os
from typing import Final

from protocol.names import NAME_BYTES_MAX, numbered, proposed_name, safe_name, unhidden_name

__all__ = [
    "NAME_BYTES_MAX",
    "PART_SUFFIX",
    "RECORDS_SUFFIX",
    "RENEWED_SUFFIX",
    "free_name",
    "numbered",
    "proposed_name",
    "safe_name",
    "unhidden_name",
]

PART_SUFFIX: Final = ".part"
RECORDS_SUFFIX: Final = ".part.records"
RENEWED_SUFFIX: Final = ".part.records.new"
"""Records being rewritten; renamed over the old ones when complete."""

assert NAME_BYTES_MAX + len(RENEWED_SUFFIX) <= 255
# " (1)" up to " (9999)" is shorter than that suffix.


def free_name(folder: str, name: str) -> str:
    """The first of `numbered` that nothing in the folder has now; FileExistsError when all are taken.

    Somebody may take it a moment later: whoever creates the file must still do it without overwriting.
    """
    for candidate in numbered(name):
        if not os.path.lexists(os.path.join(folder, candidate)):
            return candidate
    raise FileExistsError(f"{name}: every name up to (9999) is taken in {folder}")
