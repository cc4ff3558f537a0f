"""The configuration as a file with every key, its default and what it means."""

from protocol.config.credentials import credential_name
from protocol.config.file import variables_of
from protocol.config.schema import ARRAYS, MEANINGS, TABLES


def printed() -> str:
    """A ``shoal.toml`` in which everything is commented out: as it stands it changes nothing."""
    lines = ["# shoal.toml: every key, with what holds without it.", ""]
    for table, keys in TABLES.items():
        many = table in ARRAYS
        lines += [f"# {MEANINGS[table]}", f"#[[{table}]]" if many else f"[{table}]"]
        for name, key in keys.items():
            variables = variables_of(table, name)
            also = [variables[-1]] if variables else []
            if key.secret:
                also.append(f"credential {credential_name(table, name, 'NAME')}")
            restart = "" if key.live else " Holds after a restart."
            place = f" ({', '.join(also)})" if also else ""
            lines += [f"# {key.meaning}{restart}{place}", f"#{name} = {key.default or _EXAMPLES[table, name]}"]
        lines.append("")
    return "\n".join(lines)


_EXAMPLES = {
    ("soulseek", "username"): '"somebody"',
    ("soulseek", "password"): '"..."',
    ("limits.schedule", "from"): '"01:00"',
    ("limits.schedule", "to"): '"07:30"',
    ("limits.schedule", "rate_kib_s"): "0",
    ("api", "username"): '"somebody"',
    ("api", "password"): '"at least 8 characters"',
    ("api.keys", "name"): '"soularr"',
    ("api.keys", "key"): '"at-least-16-characters"',
    ("webhooks", "name"): '"notify"',
    ("webhooks", "url"): '"https://example.org/hook"',
    ("webhooks", "secret"): '"at-least-16-characters"',
    ("scripts", "name"): '"tag"',
    ("scripts", "command"): '["/usr/local/bin/tag"]',
}
"""Of keys without a default."""
