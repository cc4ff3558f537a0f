"""Who sent which chunks of a file, over all the runs it took."""

from collections.abc import Iterable, Iterator

from protocol.model.job_views import ManifestRange

NOBODY = -1


def completed(told: Iterable[ManifestRange], before: Iterable[ManifestRange]) -> list[ManifestRange]:
    """What a run told, which is all that is stored; where nobody knew who sent it, what was known `before`.
    Neighbours of one source become one run."""
    past = sorted(before, key=_first)
    out: list[ManifestRange] = []
    for run in sorted(told, key=_first):
        for piece in _owned(run, past):
            last = out[-1] if out else None
            if last is not None and last.stop == piece.first and (last.source, last.url) == (piece.source, piece.url):
                out[-1] = _run(last.first, piece.stop, last)
            else:
                out.append(piece)
    return out


def _owned(run: ManifestRange, past: list[ManifestRange]) -> Iterator[ManifestRange]:
    if run.source != NOBODY:
        yield run
        return
    at = run.first
    for known in past:
        first, stop = max(at, known.first), min(run.stop, known.stop)
        if first < stop:
            if at < first:
                yield _run(at, first, run)
            yield _run(first, stop, known)
            at = stop
    if at < run.stop:
        yield _run(at, run.stop, run)


def _first(run: ManifestRange) -> int:
    return run.first


def _run(first: int, stop: int, like: ManifestRange) -> ManifestRange:
    return ManifestRange(first=first, stop=stop, source=like.source, url=like.url)
