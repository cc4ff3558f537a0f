"""Rows sent in bulk come back as they were, however many and however long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import RequestAnswered
from protocol.messages.codec import decode, encode
from protocol.model.job_views import PART_BYTES_MAX, JobDetail, JobView, SourceView, details, pack, unpack, whole
from tests.specs import job_view


def job() -> JobView:
    return job_view(id="x", name="x", folder="x", user="x", remote_path="x", size_bytes=1)


def source(number: int, url: str) -> SourceView:
    return SourceView(number=number, url=url, path="", standing="active")


def sent(rows: list[JobDetail]) -> list[JobDetail]:
    """Through frames, as an answer goes."""
    bodies = list(pack(rows))
    frames = [encode(RequestAnswered(request=1, body=body, total=1, last=True)) for body in bodies]
    return [row for frame in frames for row in unpack(decode(frame).body, JobDetail)]  # type: ignore[attr-defined]


@given(lengths=st.lists(st.integers(1, 8000), max_size=40), notes=st.lists(st.integers(0, 1000), max_size=30))
def test_a_job_with_many_long_sources_arrives_whole(lengths: list[int], notes: list[int]) -> None:
    sources = [source(number, "u" * length) for number, length in enumerate(lengths)]
    texts = [f"{at}" + "ü" * length for at, length in enumerate(notes)]
    rows = details(job(), sources, texts)
    assert all(len(body) <= PART_BYTES_MAX + 100 for body in pack(rows))
    found = whole(sent(rows))
    assert (found.job, found.sources) == (job(), tuple(sources))
    assert found.notes == tuple(texts[len(texts) - len(found.notes) :])


def test_no_rows_make_no_job() -> None:
    with pytest.raises(ValueError, match="no rows"):
        whole([])
