"""Output templates: where a finished file goes, from its tags and from where it came.

``{artist}/{album}/{track} {title}{ext}``: parts of a path, with fields in braces; ``{{`` is a brace. Values come from
outside and are hostile: none adds a folder or leads out of one. A field without a value is replaced as `FALLBACKS`
say; a part that is empty then is left out.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from protocol.model.filenames import FOLDER_BYTES_MAX, NAME_BYTES_MAX, safe_name
from protocol.model.value import late_pattern

TEMPLATE_CHARS_MAX: Final = 500
PARTS_MAX: Final = 16
VALUE_CHARS_MAX: Final = 400
TAGS: Final = ("artist", "albumartist", "album", "title", "track", "disc", "year", "genre")
FIELDS: Final = (*TAGS, "user", "folder", "host", "name", "ext")
"""`name` is the file's without its ending, `ext` that ending with its dot, `folder` the last remote folder."""
FALLBACKS: Final[Mapping[str, tuple[str, ...]]] = {
    "artist": ("albumartist", "user", "host", "=Unknown artist"),
    "albumartist": ("artist", "user", "host", "=Unknown artist"),
    "album": ("folder", "=Unknown album"),
    "title": ("name",),
    "user": ("host", "=unknown"),
    "host": ("user", "=unknown"),
    "folder": ("album",),
}
"""What stands for a field without a value: other fields in this order, then a word after ``=``; else nothing."""
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "audio": (
        *(".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wav", ".aiff", ".aif", ".ape", ".wv", ".wma"),
        *(".alac", ".dsf", ".dff", ".mpc", ".tak", ".tta", ".mka"),
    ),
    "video": (".mkv", ".mp4", ".avi", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".ts", ".ogv"),
    "image": (".jpg", ".jpeg", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".svg", ".avif", ".heic"),
    "text": (".pdf", ".epub", ".mobi", ".azw3", ".djvu", ".cbz", ".cbr", ".txt", ".doc", ".docx", ".odt", ".rtf"),
    "archive": (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"),
    "disk": (".iso", ".img", ".dmg", ".vhd", ".qcow2"),
}
"""Kinds of files by their endings, each of which may have a root folder of its own."""
_TOKEN: Final = late_pattern(r"\{\{|\}\}|\{([^{}]*)\}|([{}])")
_NO_FILE_NAME: Final = late_pattern(r'[/\\:*?"<>|]')
_EDGES: Final = " .-_\t"


def kind_of(name: str) -> str:
    """Return the kind of a file by its ending, ``other`` for none of them."""
    lowered = name.lower()
    return next((kind for kind, endings in KINDS.items() if lowered.endswith(endings)), "other")


def check_template(template: str) -> None:
    """Raise `ValueError` with one line for people when this is no template that `placed` can use."""
    if not template.isprintable() or len(template) > TEMPLATE_CHARS_MAX:
        raise ValueError(f"must have at most {TEMPLATE_CHARS_MAX} printable characters")
    for found in _TOKEN.finditer(template):
        if found[2]:
            raise ValueError("has a brace without its other one; {{ and }} stand for themselves")
        if found[1] is not None and found[1] not in FIELDS:
            raise ValueError(f"has no field {{{found[1][:40]}}}; there are {', '.join(FIELDS)}")
    parts = template.split("/")
    if len(parts) > PARTS_MAX or any(not part.strip() or set(part.strip()) == {"."} for part in parts):
        raise ValueError(f"must have 1 to {PARTS_MAX} parts between slashes, none of them empty or of dots")
    if not parts[-1].endswith("{ext}"):
        raise ValueError("must end with {ext}")


def placed(template: str, values: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the folders and the name that a template gives a file. `name`: what it is called now."""
    *folders, last = template.split("/")
    found = [part for part in (_part(each, values, FOLDER_BYTES_MAX) for each in folders) if part]
    ext = values.get("ext", "")
    stem = _part(last.removesuffix("{ext}"), values, NAME_BYTES_MAX - len(ext.encode()))
    return (*found, safe_name(f"{stem}{ext}" if stem else name, "download"))


def _part(template: str, values: Mapping[str, str], bytes_max: int) -> str:
    """Return one part of the path: a name that is no path, is not hidden, and ends with no dot or blank."""
    had_value = False
    has_fields = any(found[1] is not None for found in _TOKEN.finditer(template))

    def field(found: re.Match[str]) -> str:
        nonlocal had_value
        if found[1] is None:
            return found[0][0]
        value = _plain(_value(found[1], values))
        had_value = had_value or bool(value)
        return value

    text = _TOKEN.sub(field, template)
    if has_fields and not had_value:
        return ""
    text = re.sub(r"\s+", " ", text).strip(_EDGES if has_fields else " .\t")
    text = text.encode()[:bytes_max].decode("utf-8", "ignore").rstrip(" .\t")
    return safe_name(text, "") if text else ""


def _value(name: str, values: Mapping[str, str]) -> str:
    """Return the value of a field, or what stands for it."""
    if value := _worth(values, name):
        return value
    for other in FALLBACKS.get(name, ()):
        if other.startswith("="):
            return other[1:]
        if value := _worth(values, other):
            return value
    return ""


def _worth(values: Mapping[str, str], name: str) -> str:
    """Return a value, empty where it would leave nothing of a name."""
    value = values.get(name, "").strip()
    return value if value.strip(_EDGES + "/\\") else ""


def _plain(value: str) -> str:
    text = unicodedata.normalize("NFC", value[:VALUE_CHARS_MAX])
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    return _NO_FILE_NAME.sub("_", text).strip()


def check_mode(word: str) -> None:
    """Raise `ValueError` when this is no file mode like ``0640`` that leaves the file to its owner."""
    if not re.fullmatch(r"0?[0-7]{3}", word) or not int(word, 8) & 0o600 == 0o600:
        raise ValueError('must be a mode like "0640" that lets the owner read and write')


def check_folder_mode(word: str) -> None:
    """Raise `ValueError` when this is no folder mode like ``0750`` that leaves the folder to its owner."""
    if not re.fullmatch(r"[02]?[0-7]{3}", word) or not int(word, 8) & 0o700 == 0o700:
        raise ValueError('must be a mode like "0750" that lets the owner do everything')
