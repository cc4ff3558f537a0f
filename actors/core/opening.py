"""From probes to a target: how large is the file, what is it called, do the sources agree?"""

from dataclasses import dataclass
from typing import Final

from actors.core.standing import Source
from protocol.messages import DispatcherWanted, JobWatched, TargetWanted
from protocol.post import dispatcher_address

STALL_S: Final = 10.0
NAME_WAIT_S: Final = 1.0
"""So long the first-named source may take to propose a name once another has told the size. It is not waited for
when its address ends in the name that the others give."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not enough is known yet."""


@dataclass(frozen=True, slots=True)
class Open:
    """Go: `size_bytes` -1 when no source says it."""

    size_bytes: int
    name: str


@dataclass(frozen=True, slots=True)
class Disagree:
    reason: str


Verdict = Wait | Open | Disagree


def consider(sources: dict[int, Source], asked_name: str, *, expected: int, since_s: float, now_s: float) -> Verdict:
    """`since_s`: when the first probe was answered. Nothing can be said before one was."""
    clash = size_clash(sources)
    if clash:
        return Disagree(clash)
    answered = [source for _, source in sorted(sources.items()) if source.probed and source.usable]
    sized = [source for source in answered if source.size_bytes >= 0]
    pending = len(sources) < expected or any(source.usable and not source.probed for source in sources.values())
    if not answered or (not sized and pending):
        return Wait()
    first = sources.get(0)
    first_may_answer = first is None or (first.usable and not first.probed)
    name = asked_name or _name(sources, answered)
    expected_name = first is not None and name == first.fallback_name
    if not asked_name and not expected_name and first_may_answer and now_s - since_s < NAME_WAIT_S:
        return Wait()
    return Open(sized[0].size_bytes if sized else -1, name)


def size_clash(sources: dict[int, Source]) -> str:
    """Words for people when two addresses announce different sizes, else empty. A Soulseek peer's file is found by its
    name: one of another size is another file, which is no news (see `unfit`)."""
    sized = [source for source in sources.values() if source.probed and source.size_bytes >= 0 and not source.peer]
    for source in sized[1:]:
        if source.size_bytes != sized[0].size_bytes:
            return (
                f"sizes differ: {sized[0].name} says {sized[0].size_bytes} bytes, "
                f"{source.name} says {source.size_bytes}"
            )
    return ""


def unfit(source: Source, size_bytes: int) -> str:
    """Why this source cannot join a job whose file has so many bytes (-1: nobody said), empty when it can."""
    if size_bytes < 0 <= source.size_bytes:
        return "came after the file had been begun without knowing its size"
    if source.size_bytes < 0 <= size_bytes:
        return "does not say how large the file is"
    if source.size_bytes != size_bytes:
        return f"size differs: it has {source.size_bytes} bytes, the file has {size_bytes}"
    return ""


def why_nobody(sources: dict[int, Source]) -> str:
    """Every source and its reason, for the end of a job that nobody could deliver."""
    told = [f"{source.name}: {source.reason or source.standing.value}" for source in sources.values()]
    shown = "; ".join(told[:8])
    return shown + (f"; and {len(told) - 8} more" if len(told) > 8 else "")


def _name(sources: dict[int, Source], answered: list[Source]) -> str:
    """What a source calls the file, else the end of the first address: the same at every run of a command."""
    for source in answered:
        if source.proposed_name:
            return source.proposed_name
    return next((source.fallback_name for _, source in sorted(sources.items()) if source.fallback_name), "")


def all_out(sources: dict[int, Source], *, now_s: float) -> bool:
    """Whether no source can still be hoped for without another round."""
    return all(source.out(now_s) for source in sources.values())


def watching(job: DispatcherWanted, limit_bytes_s: int) -> JobWatched:
    """What the SpeedWatchdog needs to know of a job."""
    return JobWatched(
        job=job.job,
        dispatcher=dispatcher_address(job.job),
        slow_rate_bytes_s=job.slow_rate_bytes_s,
        slow_after_s=job.slow_after_s,
        stall_s=STALL_S,
        limit_bytes_s=limit_bytes_s,
    )


def target_wanted(job: DispatcherWanted, size_bytes: int, name: str, *, again: bool = False) -> TargetWanted:
    """What the Assembler needs to open the part file, or to open it `again`."""
    return TargetWanted(
        job=job.job,
        folder=job.folder,
        name=name,
        size_bytes=size_bytes,
        chunk_size=job.chunk_size,
        checksum=job.checksum,
        preallocate=job.preallocate and not again,
        sync=job.sync,
        dispatcher=dispatcher_address(job.job),
        again=again,
        make_folder=job.make_folder,
    )
