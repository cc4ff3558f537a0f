"""Bottlenecks of a job as sentences, from the latest reports, the tightest first."""

from collections.abc import Iterator
from typing import Final

from actors.core.jobs.job import TRIED_AGAIN, WAITING, Job, due, searches
from protocol.messages import SessionChanged, SourceProgressed
from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import ACTIVE, PAUSED, QUEUED, SEALED
from protocol.model.job_views import Bottleneck
from protocol.model.source_url import public_url
from protocol.model.units import show_rate, show_time, show_whole_time
from protocol.model.value import Struct

NEAR_LIMIT: Final = 0.85
"""From this part of a limit on, the limit is the bottleneck."""
SHOWN_MAX: Final = 5
_BUDGET: Final = "stops"


class ExplainContext(Struct, frozen=True, kw_only=True):
    """The state around a job that an explanation needs."""

    policy: JobPolicy
    active: int
    """Number of attempts under way."""
    ahead: int
    """Number of jobs that are started before this one."""
    rate_bytes_s: float
    """Of all jobs together."""
    limit_bytes_s: int
    """Of all jobs together; 0: none."""
    limit_left_s: int
    """How long that limit still holds; 0: unknown."""
    session: SessionChanged | None
    now_ms: int


def bottlenecks(job: Job, context: ExplainContext) -> list[Bottleneck]:
    """Return at least one."""
    match job.record.state:
        case state if state == QUEUED:
            return list(_queued(job, context))
        case state if state == ACTIVE:
            return list(_active(job, context)) or [_nothing(job)]
        case state if state == PAUSED:
            return [Bottleneck(kind="paused", text="by the user; it goes on when it is resumed")]
        case state:
            reason = job.record.reason
            text = "it is complete" if state == SEALED else f"it has ended: {state}{f', {reason}' if reason else ''}"
            return [Bottleneck(kind="ended", text=text), *_other_files(job)]


def _other_files(job: Job) -> Iterator[Bottleneck]:
    """Yield the alternative that a dispute has left: another file under the same name."""
    found = job.record.claim.other_files
    if found:
        more = f", and {len(found) - SHOWN_MAX} more" if len(found) > SHOWN_MAX else ""
        text = f"others have another file of this size (retry --other-group takes it): {', '.join(found[:SHOWN_MAX])}"
        yield Bottleneck(kind="other group", text=text + more)


def _queued(job: Job, context: ExplainContext) -> Iterator[Bottleneck]:
    if not due(job.record, context.policy, context.now_ms):
        wait_s = (job.record.retry_at_ms - context.now_ms) / 1000
        reason = job.record.reason.partition(TRIED_AGAIN)[0]
        yield Bottleneck(kind="queue", text=f"it failed and is tried again in {show_time(wait_s)}: {reason}")
        return
    if job.attempt is not None:
        yield Bottleneck(kind="queue", text="its last attempt is being stopped; then it takes its turn")
    most = context.policy.jobs_active_max
    if context.active >= most:
        yield Bottleneck(
            kind="queue",
            text=f"{context.active} jobs are active, at most {most} may be; {context.ahead} wait before this one",
        )
    elif searches(job.record):
        most = context.policy.searching_max
        yield Bottleneck(kind="search", text=f"{most} jobs search for users already, no more may at once")
    else:
        yield Bottleneck(kind="queue", text="it is started in a moment")


def _active(job: Job, context: ExplainContext) -> Iterator[Bottleneck]:
    attempt = job.attempt
    assert attempt is not None
    rows = [row for number, row in job.progress.items() if not job.sources[number].left]
    flowing = [row for row in rows if row.phase in ("flowing", "granted", "stalled") or row.lease_first >= 0]
    if attempt.phase == "paused":
        yield Bottleneck(kind="disk", text=f"the disk does not take it: {attempt.reason}")
        return
    yield from _login(job, context)
    if attempt.phase == "searching":
        yield Bottleneck(kind="search", text="users who have the file are being searched for")
    if attempt.phase == "verifying":
        yield Bottleneck(kind="disk", text="what was on the disk already is being read and checked")
    away = "" if flowing or attempt.phase == WAITING else attempt.reason
    if away:
        yield Bottleneck(kind="sources", text=f"{away}: waits until it is back")
    if attempt.phase == "opening" and not away:
        yield Bottleneck(kind="sources", text="its sources have not said yet whether they have the file")
    if attempt.phase == "sealing":
        yield Bottleneck(kind="disk", text="everything is here; the whole file is being checked and gets its name")
    if attempt.phase == WAITING and not rows and searches(job.record):
        yield Bottleneck(kind="search", text=f"no user was found yet, it is searched for again: {attempt.reason}")
    elif attempt.phase == WAITING or (rows and not flowing and not _hopeful(rows)):
        yield Bottleneck(kind="sources", text=_waiting(job, rows, attempt.reason))
    if not flowing:
        yield from _places(rows)
    yield from _limits(job, context)
    yield from _budget(job)
    if flowing:
        yield from _rates(job, rows, flowing)
        if attempt.estimate:
            yield Bottleneck(kind="users", text=attempt.estimate)
        yield from _places(rows)


def _login(job: Job, context: ExplainContext) -> Iterator[Bottleneck]:
    session = context.session
    of_soulseek = searches(job.record) or any(source.peer for source in job.sources)
    if of_soulseek and session is not None and session.state != "online":
        detail = f": {session.detail}" if session.detail else ""
        yield Bottleneck(kind="login", text=f"not logged in to Soulseek ({session.state}){detail}")


def _hopeful(rows: list[SourceProgressed]) -> bool:
    return any(row.standing in ("candidate", "queued", "active") for row in rows)


def _waiting(job: Job, rows: list[SourceProgressed], reason: str) -> str:
    shown = [f"{row.name}: {row.reason or row.standing}" for row in rows][:SHOWN_MAX]
    more = f"; and {len(rows) - SHOWN_MAX} more" if len(rows) > SHOWN_MAX else ""
    if not rows and not job.usable():
        return reason or "it has no source; it goes on when one is added"
    return f"no source can deliver now: {'; '.join(shown) or reason or 'they have not answered'}{more}"


def _places(rows: list[SourceProgressed]) -> Iterator[Bottleneck]:
    """Yield our places in peers' queues, the best first."""
    waiting = sorted((row for row in rows if row.phase in ("queued", "connecting")), key=_place)
    if not waiting:
        return
    shown = [
        f"{row.peer or row.name}: place {row.queue_place}"
        if row.queue_place >= 0
        else f"{row.peer or row.name}: no place known"
        for row in waiting[:SHOWN_MAX]
    ]
    more = f", and {len(waiting) - SHOWN_MAX} more" if len(waiting) > SHOWN_MAX else ""
    yield Bottleneck(kind="places", text=f"waits in the queues of {len(waiting)} peers ({', '.join(shown)}{more})")


def _place(row: SourceProgressed) -> tuple[bool, int]:
    return row.queue_place < 0, row.queue_place


def _limits(job: Job, context: ExplainContext) -> Iterator[Bottleneck]:
    attempt, limit = job.attempt, job.record.spec.limit_bytes_s
    assert attempt is not None
    if limit and attempt.rate_bytes_s >= NEAR_LIMIT * limit:
        yield Bottleneck(kind="limit", text=f"its own limit of {show_rate(limit)}")
    limit = context.limit_bytes_s
    if limit and context.rate_bytes_s >= NEAR_LIMIT * limit:
        until = f", for another {show_whole_time(context.limit_left_s)}" if context.limit_left_s else ""
        yield Bottleneck(kind="limit", text=f"the limit of {show_rate(limit)} for all jobs together{until}")


def _budget(job: Job) -> Iterator[Bottleneck]:
    spent = [
        row.peer or row.name
        for row in job.progress.values()
        if row.peer and _BUDGET in row.reason and ("spent" in row.reason or "budget" in row.reason)
    ]
    if spent:
        names = ", ".join(spent[:SHOWN_MAX])
        yield Bottleneck(kind="budget", text=f"hung up on as often as is allowed, so left to finish or alone: {names}")


def _rates(job: Job, rows: list[SourceProgressed], flowing: list[SourceProgressed]) -> Iterator[Bottleneck]:
    proven = [row for row in rows if row.chunks]
    if len(rows) > 1 and len(proven) == 1 and len(flowing) == 1:
        number = next(number for number, row in job.progress.items() if row is proven[0])
        name = proven[0].peer or public_url(job.sources[number].url)
        yield Bottleneck(kind="one source", text=f"only {name} of {len(rows)} sources has sent anything yet")
    rate = job.attempt.rate_bytes_s if job.attempt is not None else 0.0
    count = f"{len(flowing)} sources send" if len(flowing) > 1 else "one source sends"
    yield Bottleneck(kind="peers", text=f"{count}, and this is how fast: {show_rate(rate)} together")


def _nothing(job: Job) -> Bottleneck:
    if not job.usable() and not searches(job.record):
        return Bottleneck(kind="sources", text="it has no source; it goes on when one is added")
    return Bottleneck(kind="sources", text="its sources have been asked; they have not answered yet")
