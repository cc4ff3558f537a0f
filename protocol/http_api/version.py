"""Versions that the API reports: of this program, and of the slskd whose API it speaks."""

from typing import Final

from protocol.model.version import program_version

VERSION: Final = program_version()
SLSKD_VERSION: Final = "0.25.1"
"""Clients read three whole numbers."""
