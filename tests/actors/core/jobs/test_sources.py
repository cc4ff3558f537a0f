"""Sources of a job: a ban that is taken back, rates that are kept."""

import itertools
import json

import pytest

from actors.core.jobs.job import SAMPLE_S, SAMPLES_MAX
from actors.core.jobs.manager import TRIM_S
from protocol.messages import (
    AddSources,
    DropSource,
    EventOccurred,
    OfferSource,
    SourceDisabled,
    SourceFound,
    Ticked,
    WatchEvents,
)
from protocol.model.job_records import TrimEvents
from tests.actors.core.jobs.rig import GATEWAY, WEB, Rig, row

OTHER = "http://b.example/f.bin"


def test_the_rates_of_the_last_minutes_are_kept_of_the_sources_that_send() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    job = rig.manager.find(id)
    assert job is not None
    for second in range(400):
        rig.s += 1.0
        rig.hear(row(1, 0, rate_bytes_s=float(second)))
        rig.hear(row(1, 1, rate_bytes_s=0.0))
        rig.progressed(1, second)
    samples = job.rates(rig.now.s)
    assert len(samples) == SAMPLES_MAX
    assert {sample.sources for sample in samples} == {(0,)}
    gaps = {earlier.ago_s - later.ago_s for earlier, later in itertools.pairwise(samples)}
    assert gaps == {SAMPLE_S}
    assert [sample.rates for sample in samples] == [(399 - round(sample.ago_s),) for sample in samples]
    rig.pause(id)
    rig.ended(1, "interrupted")
    assert job.rates(rig.now.s) == (), "they were of that run"


@pytest.mark.parametrize("by", ["command", "address"])
def test_a_ban_is_taken_back_in_this_run_and_the_next(by: str) -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=1, banned=True))
    rig.all_heard(SourceDisabled)
    back = DropSource(request=2, reply_to=GATEWAY, id=id, source=1, restored=True)
    again = AddSources(request=2, reply_to=GATEWAY, id=id, urls=(OTHER,))
    rig.hear(back if by == "command" else again)
    assert [(each.source, each.restored) for each in rig.all_heard(SourceDisabled)] == [(1, True)]
    rig.hear(back.but(request=3))
    assert rig.all_heard(SourceDisabled) == [], "twice is no more than once"
    rig.all_heard(OfferSource)
    rig.pause(id)
    rig.ended(1, "interrupted")
    rig.resume(id)
    assert [(offered.url, offered.disabled) for offered in rig.all_heard(OfferSource)] == [(WEB, False), (OTHER, False)]


def test_a_source_that_was_dropped_is_said_to_be_so_whatever_its_row_says() -> None:
    rig = Rig()
    rig.hear(WatchEvents(reply_to=GATEWAY))
    id = rig.order(urls=(WEB, OTHER)).id
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=1, banned=False))
    for number in (0, 1):
        rig.hear(row(1, number, standing="cooling"))
        shown = [json.loads(each.data) for each in rig.all_heard(EventOccurred) if each.kind == "source.changed"]
        assert [each["standing"] for each in shown] == ["dropped" if number else "cooling"]


def test_sources_of_a_search_are_known_as_found_and_those_that_were_named_are_not() -> None:
    rig = Rig()
    id = rig.order().id
    rig.hear(AddSources(request=1, reply_to=GATEWAY, id=id, urls=(OTHER,)))
    rig.hear(SourceFound(job=1, source=2, url="slsk://ann/f.bin", size_bytes=7))
    assert [source.found for source in rig.store.sources_of(id)] == [False, False, True]


def test_states_without_a_job_are_counted_as_none_and_events_are_kept_for_days() -> None:
    rig = Rig(events_days=3)
    counts = rig.manager.counts({"queued": 2})
    assert (counts.queued, counts.active, counts.sealed, counts.failed) == (2, 0, 0, 0)
    rig.s += TRIM_S
    (trim,) = [each for each in rig.manager.handle(Ticked(), now=rig.now).writes if isinstance(each, TrimEvents)]
    assert rig.now.ms - trim.since_ms == 3 * 24 * 3600 * 1000
