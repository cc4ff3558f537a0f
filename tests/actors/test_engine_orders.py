"""What a job manager asks of running jobs, on real processes: sources that come and go, who sent what, everything
again."""

import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from protocol.messages import (
    ContributorsListed,
    JobEnded,
    JobOpened,
    JobProgressed,
    ListContributors,
    OfferSource,
    ProcessReady,
    SourceDisabled,
    SourceFound,
    SourceProgressed,
)
from protocol.messages.addresses import FRONT, POOL, dispatcher_address
from tests.actors.engine import Engine
from tests.http_mirrors.box import Character, Content, mirrors

MB = 1_000_000
CHUNK = 1 << 16


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path) as engine:
        yield engine


def slow(mb_s: float = 1.5) -> Character:
    return Character(rate_bytes_s=mb_s * MB)


def test_a_source_that_is_dropped_hangs_up_and_the_others_finish(engine: Engine, tmp_path: Path) -> None:
    content = Content(6 * MB, seed=3)
    with mirrors([slow(), slow()], content) as box:
        engine.begin(1, box.urls)
        engine.hear(SourceProgressed, lambda row: row.source == 0 and row.bytes_stored > 0)
        engine.tell(POOL, SourceDisabled(job=1, source=0, banned=True, detail="dropped by hand"))
        engine.hear(SourceProgressed, lambda row: row.source == 0 and row.standing == "banned")
        engine.listen(0.5)
        sent = box.counts()["m0"].bytes_sent
        engine.tell(POOL, OfferSource(job=1, url=box.urls[1]))
        ended = engine.ended(1)
        assert ended.state == "sealed"
        assert box.counts()["m0"].bytes_sent == sent, "nothing was asked of it again"
    assert content.matches(tmp_path / "file-1.bin")
    assert engine.sources(1) == dict(enumerate(box.urls))
    assert {owner for _, _, owner in engine.runs(1)} == {0, 1}


def test_a_ban_can_be_taken_back_while_the_job_runs(engine: Engine, tmp_path: Path) -> None:
    content = Content(8 * MB, seed=3)
    banned = SourceDisabled(job=1, source=0, banned=True, detail="banned by hand")
    with mirrors([slow(), slow(0.5)], content) as box:
        engine.begin(1, box.urls)
        engine.hear(SourceProgressed, lambda row: row.source == 0 and row.bytes_stored > 0)
        engine.tell(POOL, banned)
        engine.hear(SourceProgressed, lambda row: row.source == 0 and row.standing == "banned")
        engine.tell(POOL, banned.but(banned=False, detail="", restored=True))
        engine.hear(SourceProgressed, lambda row: row.source == 0 and row.standing == "active")
        ended = engine.ended(1)
        assert ended.state == "sealed"
    assert content.matches(tmp_path / "file-1.bin")
    assert {owner for _, _, owner in engine.runs(1)} == {0, 1}


def test_the_last_source_dropped_ends_the_job_and_another_offered_in_time_saves_it(engine: Engine) -> None:
    with mirrors([slow(), slow(20)], Content(8 * MB)) as box:
        engine.begin(1, box.urls[:1])
        engine.until_stored(1, MB // 2)
        engine.tell(POOL, OfferSource(job=1, url=box.urls[1]))
        engine.hear(SourceFound, lambda found: found.source == 1)
        engine.hear(SourceProgressed, lambda row: row.source == 1 and row.standing == "active")
        engine.tell(POOL, SourceDisabled(job=1, source=0, banned=False, detail="dropped by hand"))
        assert engine.ended(1).state == "sealed"
        engine.begin(2, box.urls[:1])
        engine.until_stored(2, MB // 2)
        engine.tell(POOL, SourceDisabled(job=2, source=0, banned=False, detail="dropped by hand"))
        ended = engine.ended(2)
        assert (ended.state, "dropped by hand" in ended.reason) == ("starved", True)


@pytest.mark.parametrize("dies", ["hub", "store"])
def test_who_sent_what_is_known_after_a_death(engine: Engine, tmp_path: Path, dies: str) -> None:
    content = Content(5 * MB, seed=4)
    with mirrors([slow(), slow()], content) as box:
        asked = engine.begin(1, box.urls)
        engine.until_stored(1, 2 * MB)
        os.kill(engine.supervisor.pid_of(dies), signal.SIGKILL)
        engine.hear(ProcessReady, lambda ready: ready.process == dies)
        if dies == "hub":
            engine.ask_again(asked, box.urls)
        assert engine.ended(1).state == "sealed"
        sent = [box.counts()[name].bytes_sent for name in ("m0", "m1")]
    runs = engine.runs(1)
    assert [runs[0][0], runs[-1][1]] == [0, -(-5 * MB // CHUNK)]
    assert all(early[1] == late[0] for early, late in pairwise(runs)), "nothing is missing"
    owned = {source: sum(stop - first for first, stop, owner in runs if owner == source) for source in (-1, 0, 1)}
    assert owned[-1] == 0, "no one in particular sent nothing"
    for source, bytes_sent in enumerate(sent):
        assert 0 < (owned[source] - 1) * CHUNK < bytes_sent, "what it is said to have sent it has sent"
    assert content.matches(tmp_path / "file-1.bin")


def test_a_resumed_job_knows_what_its_sources_sent_before(engine: Engine, tmp_path: Path) -> None:
    with mirrors([slow(), slow()], Content(4 * MB)) as box:
        engine.begin(1, box.urls, name="same.bin")
        engine.until_stored(1, 2 * MB)
        engine.tell(dispatcher_address(1), ListContributors(job=1, request=9, reply_to=FRONT))
        before = engine.hear(ContributorsListed, lambda message: message.request == 9)
        assert {0, 1} == set(before.owners)
        engine.tell(POOL, SourceDisabled(job=1, source=0, banned=False, detail=""))
        engine.tell(POOL, SourceDisabled(job=1, source=1, banned=False, detail=""))
        assert engine.ended(1).state == "starved"
        engine.tell(POOL, engine.asked(2, 2, name="same.bin"))
        engine.tell(POOL, OfferSource(job=2, url=box.urls[0], disabled=True))
        engine.tell(POOL, OfferSource(job=2, url=box.urls[1]))
        engine.hear(JobOpened, lambda opened: opened.job == 2)
        engine.tell(dispatcher_address(2), ListContributors(job=2, request=10, reply_to=FRONT))
        after = engine.hear(ContributorsListed, lambda message: message.request == 10)
        begun = dict(zip(before.firsts, before.owners, strict=True))
        assert [begun[first] for first in after.firsts if first in begun] == [
            owner for first, owner in zip(after.firsts, after.owners, strict=True) if first in begun
        ]
        assert 0 in after.owners, "also of one that is not used any more"
        assert engine.ended(2).state == "sealed"


def test_a_job_manager_that_comes_back_hears_everything_again_and_how_jobs_ended(engine: Engine) -> None:
    with mirrors([slow(3)], Content(3 * MB)) as box:
        asked = engine.begin(1, box.urls)
        engine.until_stored(1, MB)
        engine.listen(0.3)
        engine.heard.clear()
        engine.ask(asked, box.urls)
        engine.hear(JobOpened)
        engine.hear(JobProgressed, lambda message: message.stored_bytes >= MB)
        assert engine.sources(1) == {0: box.urls[0]}
        first = engine.ended(1)
        assert first.state == "sealed"
        engine.heard.clear()
        engine.ask(asked, box.urls)
        assert engine.ended(1) == first
        assert engine.runs(1) == [(0, -(-3 * MB // CHUNK), 0)]
        # Its sources too where its dispatcher has not closed yet.
        last = [type(each) for _, each in engine.heard if not isinstance(each, SourceFound)]
        assert last == [ContributorsListed, JobEnded]


def test_what_is_stored_is_reported_within_a_quarter_of_a_second(engine: Engine, tmp_path: Path) -> None:
    """How far the file on the disk is ahead of what was reported, in time."""
    with mirrors([slow(1)], Content(3 * MB)) as box:
        engine.begin(1, box.urls)
        engine.ended(1)
    message = [(at_s, each.stored_bytes) for at_s, each in engine.heard if isinstance(each, JobProgressed)]
    gaps = [late[0] - early[0] for early, late in pairwise(message) if late[1] > early[1]]
    assert sorted(gaps)[len(gaps) // 2] < 0.3, "while bytes come they are reported"
