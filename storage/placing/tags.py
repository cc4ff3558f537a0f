"""Tags of a finished file (artist, album, title ...), read with mutagen; hostile ones are no more than text."""

from typing import Any, Final

from protocol.model.placing.output_template import TAGS, VALUE_CHARS_MAX

_KEYS: Final = {"track": "tracknumber", "disc": "discnumber", "year": "date"}
NUMBER_WIDTH: Final = {"track": 2}


def read_tags(path: str) -> dict[str, str]:
    """Return the tags of a file by the names of `TAGS`; empty for a file without, or of another kind.

    Numbers lose their totals (``3/12``) and a track has two digits, a date is its year.
    """
    try:
        from mutagen import File

        found: Any = File(path, easy=True)
        tags = {} if found is None or found.tags is None else found.tags
        values = {name: _first(tags, _KEYS.get(name, name)) for name in TAGS}
    except Exception:  # noqa: BLE001 - a parser of hostile files, which raises what it likes; without tags it goes on
        return {}
    for name in ("track", "disc"):
        number = values[name].partition("/")[0].strip()
        values[name] = number.lstrip("0").zfill(NUMBER_WIDTH.get(name, 1)) if number.isdecimal() else number
    year = values["year"].strip()[:4]
    values["year"] = year if year.isdecimal() and len(year) == 4 else ""
    return {name: value for name, value in values.items() if value}


def _first(tags: Any, key: str) -> str:
    try:
        value = tags[key]
    except (KeyError, ValueError):
        return ""
    return str(value[0] if isinstance(value, list) and value else value)[:VALUE_CHARS_MAX]
