"""Kinds of events for people and tools, and the members of each one's JSON."""

from typing import Final

JOB_QUEUED: Final = "job.queued"
JOB_STARTED: Final = "job.started"
JOB_PROGRESSED: Final = "job.progressed"
JOB_NOTED: Final = "job.noted"
JOB_PAUSED: Final = "job.paused"
JOB_RESUMED: Final = "job.resumed"
JOB_SEALED: Final = "job.sealed"
JOB_FAILED: Final = "job.failed"
JOB_CANCELLED: Final = "job.cancelled"
JOB_DELETED: Final = "job.deleted"
JOB_CHANGED: Final = "job.changed"
SOURCE_ADDED: Final = "source.added"
SOURCE_DROPPED: Final = "source.dropped"
SOURCE_PREFERRED: Final = "source.preferred"
SOURCE_CHANGED: Final = "source.changed"
SESSION_CHANGED: Final = "session.changed"
PROCESS_LOST: Final = "process.lost"
PROCESS_READY: Final = "process.ready"
DAEMON_STARTED: Final = "daemon.started"

FLEETING: Final = frozenset({JOB_PROGRESSED})
"""Sent to those who listen at that moment; not stored and not replayed, their serial is 0."""

KINDS: Final = {
    JOB_QUEUED: "a job was ordered; data: name, size, origin",
    JOB_STARTED: "an attempt at it begins; data: attempt",
    JOB_PROGRESSED: "bytes came; data: state, phase, storedBytes, sizeBytes, rateBytesS, leftS",
    JOB_NOTED: "a note for people; data: text",
    JOB_PAUSED: "a user paused it; data: storedBytes",
    JOB_RESUMED: "it is in the queue again, after a pause or a retry; data: storedBytes",
    JOB_SEALED: "the file is complete at its final place; data: path, sizeBytes, digest, seconds, sources",
    JOB_FAILED: "it ended without the file; data: outcome, reason, storedBytes",
    JOB_CANCELLED: "a user ended it; data: storedBytes",
    JOB_DELETED: "it is forgotten; data: none",
    JOB_CHANGED: "limit or priority was changed; data: limitBytesS, priority",
    SOURCE_ADDED: "data: source, url",
    SOURCE_DROPPED: "data: source, url, banned",
    SOURCE_PREFERRED: "data: source, url, preferred",
    SOURCE_CHANGED: "a source's standing changed; data: source, url, standing, reason",
    SESSION_CHANGED: "the Soulseek login; data: state, detail",
    PROCESS_LOST: "a process of the daemon died; data: process, detail, restartS",
    PROCESS_READY: "it is back; data: process",
    DAEMON_STARTED: "data: version",
}
