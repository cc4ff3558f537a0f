"""Every key of ``shoal.toml``: what may stand there, what is meant, what holds without it. The one table from which the
file is checked, the environment is read and the documentation is made."""

from dataclasses import dataclass
from typing import Final

from protocol.config import checks
from protocol.config.checks import Check
from protocol.config.settings import KIB, ROLES
from protocol.model.event_kinds import KINDS
from protocol.model.limits import STOPS_PER_DAY, STOPS_PER_JOB

NAME_CHARS_MAX: Final = 30
PASSWORD_CHARS_MAX: Final = 200
ROWS_MAX: Final = 64
"""Of one array of tables."""


@dataclass(frozen=True, slots=True)
class Key:
    """`field` of the settings. `default` in TOML, empty: there is none. `live`: changes when the configuration is read
    again. `secret`: may come from a credential of its own, and is never shown."""

    check: Check
    default: str
    meaning: str
    field: str = ""
    live: bool = True
    secret: bool = False
    needed: bool = False


_EVENTS: Final = Key(
    checks.list_of(checks.one_of(*KINDS), len(KINDS), "kinds of events"),
    "[]",
    "Kinds of events; none named: all that are kept.",
)
_NAME: Final = Key(checks.secret(1, 60), "", "What it is called.", needed=True)
_FOLDER: Final = checks.path

TABLES: Final[dict[str, dict[str, Key]]] = {
    "soulseek": {
        "username": Key(checks.text(NAME_CHARS_MAX), "", "The account's name.", live=False),
        "password": Key(checks.text(PASSWORD_CHARS_MAX), "", "Its password.", live=False, secret=True),
        "server": Key(checks.host, '"server.slsknet.org"', "The server.", "server_host", live=False),
        "port": Key(checks.whole(1, 65535), "2416", "Its port.", "server_port", live=False),
        "listen_ports": Key(
            checks.at_least_one(
                checks.list_of(checks.whole(0, 65535), 20, "ports"), "must have one port at least; [0] is any"
            ),
            "[0]",
            "Where peers reach us: the first that is free; 0 is any.",
            "ports",
            live=False,
        ),
        "obfuscated_port": Key(
            checks.whole(-1, 65535), "-1", "A port for obfuscated connections; 0 is any, -1 none.", live=False
        ),
        "bind": Key(checks.address, '"0.0.0.0"', "Address of this machine to listen on.", "bind_host", live=False),
        "upnp": Key(checks.flag, "false", "Ask the router to forward the ports.", live=False),
        "shared_folders": Key(checks.list_of(_FOLDER, 1000, "folders"), "[]", "What others may fetch.", live=False),
        "sharing": Key(checks.flag, "true", "false: share nothing. Many users ban those who do.", live=False),
        "upload_slots": Key(checks.whole(1, 100), "2", "So many uploads at once.", live=False),
        "upload_limit_kib_s": Key(checks.whole(0, 1 << 30), "0", "Of all uploads together; 0: none.", live=False),
        "searches": Key(checks.whole(1, 1000), "34", "At most so many searches ...", live=False),
        "searches_s": Key(checks.seconds(1, 86400), "220", "... in so many seconds.", live=False),
        "stops_per_job": Key(checks.whole(0, 1000), str(STOPS_PER_JOB), "A user is hung up on so often for a file ..."),
        "stops_per_day": Key(checks.whole(0, 1000), str(STOPS_PER_DAY), "... and so often a day."),
    },
    "daemon": {
        "state": Key(_FOLDER, '"~/.local/state/shoal"', "Where jobs and what is known of peers are kept.", live=False),
        "downloads": Key(_FOLDER, '"~/.local/share/shoal/downloads"', "Where files go."),
        "more_folders": Key(checks.list_of(_FOLDER, 50, "folders"), "[]", "Other folders that an order may name."),
        "max_active_jobs": Key(checks.whole(1, 1000), "4", "So many jobs run at once.", "active_max"),
        "max_jobs": Key(checks.whole(1, 1_000_000), "10000", "So many that have not ended.", "jobs_max"),
        "fetchers": Key(checks.whole(0, 16), "0", "Processes that receive; 0: as fits this machine.", live=False),
        "chunk_kib": Key(checks.whole(4, 1024, times=KIB), "128", "Unit of record and retry.", "chunk_size"),
        "preallocate": Key(checks.flag, "false", "Reserve the disk space at once."),
        "sync": Key(checks.one_of("full", "none"), '"full"', "full: a sealed file is on the disk."),
        "slow_rate_bytes_s": Key(checks.whole(0, 1 << 30), "5000", "Slower than this is slow; 0: nobody is."),
        "slow_after_s": Key(checks.seconds(1, 3600), "15", "How long a slow source is tolerated."),
        "retries": Key(
            checks.whole(0, 100), "3", "So often a job that failed without its fault is tried again.", "retries_max"
        ),
        "retry_first_s": Key(checks.seconds(1, 86400), "30", "The first time after so long, then later each time."),
        "retry_max_s": Key(checks.seconds(1, 7 * 86400), "3600", "But never later than this.", "retry_s_max"),
        "allow_private_sources": Key(
            checks.flag, "false", "URLs that the API is given may point into private networks, and at this machine."
        ),
        "log_level": Key(checks.one_of("error", "warning", "info", "debug"), '"warning"', "What is written to stderr."),
        "log_json": Key(checks.flag, "false", "One JSON object a line.", live=False),
    },
    "limits": {
        "rate_kib_s": Key(
            checks.whole(0, 1 << 30, times=KIB), "0", "All downloads together; 0: no limit.", "limit_bytes_s"
        ),
    },
    "limits.schedule": {
        "days": Key(checks.days, '["mon", "tue", "wed", "thu", "fri", "sat", "sun"]', "Days of its beginning."),
        "from": Key(checks.minute_of_day, "", "When it begins, local time.", "begin_minute", needed=True),
        "to": Key(
            checks.minute_of_day,
            "",
            "When it ends; earlier than its beginning: the day after.",
            "end_minute",
            needed=True,
        ),
        "rate_kib_s": Key(checks.whole(0, 1 << 30, times=KIB), "", "0: no limit.", "limit_bytes_s", needed=True),
    },
    "api": {
        "host": Key(checks.host, '"127.0.0.1"', "Where it listens; 0.0.0.0: everywhere.", live=False),
        "port": Key(checks.whole(0, 65535), "5030", "0: any that is free.", live=False),
        "url_base": Key(checks.url_base, '"/"', "Path below which a proxy shows it.", live=False),
        "authentication": Key(checks.flag, "true", "false: nobody is asked for a key; only on a loopback address."),
        "username": Key(checks.text(255), "", "Of the login for people."),
        "password": Key(checks.text(1024, chars_min=8), "", "Its password.", secret=True),
        "session_days": Key(checks.whole(1, 365, times=86400), "7", "How long a login holds.", "session_s"),
        "hosts": Key(
            checks.list_of(checks.host_pattern, 50, "names"),
            "[]",
            "Names by which it is called, besides localhost and addresses in figures.",
        ),
        "origins": Key(checks.list_of(checks.origin, 50, "origins"), "[]", "Web pages of others that may use it."),
        "proxies": Key(checks.list_of(checks.network, 50, "networks"), "[]", "Whose X-Forwarded-For is believed."),
        "max_body_kib": Key(
            checks.whole(1, 1 << 16, times=KIB), "4096", "Largest body of a request.", "body_bytes_max"
        ),
        "max_requests": Key(checks.whole(1, 450), "256", "So many requests at once.", "requests_max"),
        "max_streams": Key(checks.whole(1, 450), "32", "So many event streams at once.", "streams_max"),
        "max_page": Key(checks.whole(1, 10_000), "1000", "So many rows of a list at once.", "page_max"),
    },
    "api.keys": {
        "name": _NAME,
        "key": Key(checks.secret(16, 255), "", "16 to 255 characters.", secret=True),
        "role": Key(checks.one_of(*ROLES), '"ReadOnly"', f"{', '.join(ROLES[:-1])} or {ROLES[-1]}."),
        "cidr": Key(
            checks.at_least_one(
                checks.list_of(checks.network, 16, "networks"), "must have one network at least; leave it out for all"
            ),
            '["0.0.0.0/0", "::/0"]',
            "Where it may be used from.",
            "networks",
        ),
    },
    "webhooks": {
        "name": _NAME,
        "url": Key(checks.web_url, "", "Where events are sent.", needed=True),
        "events": _EVENTS,
        "secret": Key(checks.secret(16, 255), "", "Signs what is sent (HMAC).", secret=True),
        "headers": Key(checks.headers, "{}", "Sent along."),
        "timeout_s": Key(checks.seconds(1, 120), "10", "How long an answer is waited for."),
        "attempts": Key(checks.whole(1, 20), "8", "So often each event is tried."),
    },
    "scripts": {
        "name": _NAME,
        "command": Key(
            checks.at_least_one(checks.list_of(checks.text(4096), 50, "words"), "must name a program"),
            "",
            "Program and arguments; no shell.",
            needed=True,
        ),
        "events": _EVENTS,
        "timeout_s": Key(checks.seconds(1, 86400), "60", "After so long it is ended."),
    },
    "slskd": {
        "widen": Key(checks.flag, "true", "What is enqueued from one user is fetched from all with the same file."),
    },
}
"""Tables in the order in which they are shown."""

ARRAYS: Final = ("limits.schedule", "api.keys", "webhooks", "scripts")
"""Those that may stand several times, ``[[...]]``."""
MEANINGS: Final = {
    "soulseek": "The account. Without one there are HTTP sources only.",
    "daemon": "Folders, and how jobs are treated.",
    "limits": "How fast everything together may be.",
    "limits.schedule": "Another limit at some time of the week; the first that fits holds.",
    "api": "What people's tools talk to.",
    "api.keys": "Without any, and without a login, the daemon makes one for an administrator.",
    "webhooks": "Who is told what happened.",
    "scripts": "What is run when something happened.",
    "slskd": "The door for tools that know slskd.",
}
