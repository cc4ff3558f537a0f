"""What tools are told of versions."""

from typing import Final

VERSION: Final = "0.2.0"
"""Of this product."""
SLSKD_VERSION: Final = "0.25.1"
"""Of the slskd whose API is spoken; its clients read three whole numbers."""
