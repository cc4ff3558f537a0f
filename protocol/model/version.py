"""Versions that are reported: of this program, one for command line and API, and of the slskd whose API it speaks."""

from functools import cache
from pathlib import Path
from typing import Final

SLSKD_VERSION: Final = "0.25.1"
"""Clients read three whole numbers."""


@cache
def program_version() -> str:
    """Return the version of the checkout that this file lies in, else of the installed package.

    The checkout goes first: a package of another version may be installed beside it.
    """
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    if pyproject.exists():
        import tomllib

        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "shoal":
            return str(project["version"])
    from importlib.metadata import version

    return version("shoal")
