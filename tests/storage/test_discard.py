"""What a deleted download leaves goes, and nothing that is somebody else's."""

import os
from pathlib import Path

from storage.discard import discard
from tests.storage.parts import CHUNK, chunk_of, open_target

__all__: list[str] = []
