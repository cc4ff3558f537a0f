"""User names in paths. They may hold a slash that nobody encodes: what stands behind them tells routes apart."""

from typing import Final

from starlette.convertors import Convertor, register_url_convertor

_GUID: Final = "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
_OTHER_ROUTES: Final = f"(?!all/completed$)(?!.+/{_GUID}(?:/position)?$)"


class LoneUser(Convertor[str]):
    """A user's name at the end of a path: whatever none of the longer routes means. ``{username:lone_user}``."""

    regex = f"{_OTHER_ROUTES}.+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("lone_user", LoneUser())
