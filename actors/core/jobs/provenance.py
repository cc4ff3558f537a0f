"""Manifests: which source delivered which chunks of a file, over all attempts."""

from collections.abc import Iterable, Iterator

from actors.core.jobs.job import Job
from protocol.messages import ContributorsListed
from protocol.model.job_records import ManifestRange
from protocol.model.source_url import public_url

UNKNOWN = -1
"""The source of a range whose sender is not known."""


def manifest_ranges(job: Job, listed: ContributorsListed) -> list[ManifestRange]:
    """Return what an attempt listed, by the numbers that sources have in the job."""
    ranges = []
    for first, stop, owner in zip(listed.firsts, listed.stops, listed.owners, strict=True):
        number = job.number_of(owner) if owner >= 0 else UNKNOWN
        url = public_url(job.sources[number].url) if number >= 0 else ""
        ranges.append(ManifestRange(first=first, stop=stop, source=number, url=url))
    return ranges


def merge_manifest(listed: Iterable[ManifestRange], before: Iterable[ManifestRange]) -> list[ManifestRange]:
    """Return `listed`, which covers all that is stored, with unknown senders filled in from `before`.

    Neighbours of one source become one range.
    """
    past = sorted(before, key=_first)
    out: list[ManifestRange] = []
    for each in sorted(listed, key=_first):
        for piece in _owned(each, past):
            last = out[-1] if out else None
            if last is not None and last.stop == piece.first and (last.source, last.url) == (piece.source, piece.url):
                out[-1] = _range(last.first, piece.stop, last)
            else:
                out.append(piece)
    return out


def _owned(unowned: ManifestRange, past: list[ManifestRange]) -> Iterator[ManifestRange]:
    if unowned.source != UNKNOWN:
        yield unowned
        return
    at = unowned.first
    for known in past:
        first, stop = max(at, known.first), min(unowned.stop, known.stop)
        if first < stop:
            if at < first:
                yield _range(at, first, unowned)
            yield _range(first, stop, known)
            at = stop
    if at < unowned.stop:
        yield _range(at, unowned.stop, unowned)


def _first(each: ManifestRange) -> int:
    return each.first


def _range(first: int, stop: int, like: ManifestRange) -> ManifestRange:
    return ManifestRange(first=first, stop=stop, source=like.source, url=like.url)
