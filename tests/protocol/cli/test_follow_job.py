"""A daemon's job that is watched, step by step, with a clock of the test's own."""

from __future__ import annotations

import io
from typing import Any

import pytest

from protocol.cli.args import Loudness
from protocol.cli.remote.follow_job import AWAY_S_MAX, LOOK_S, LOOK_S_MAX, TICK_S, _Looker
from protocol.cli.views.base import view_of
from protocol.cli.views.outcome import ExitCode
from protocol.client.credentials import Access
from protocol.client.http_client import Daemon, DaemonError
from protocol.client.sse_client import Gone
from tests.protocol.cli.messages import ID, job_json, source_json
from tests.protocol.client.test_http_client import Answer, answering, refusal


class AnsweringApi:
    """What the daemon answers next, and what was said to people."""

    def __init__(self) -> None:
        self.answer: Answer = (200, job_json(source_json(0)))
        self.stderr = io.StringIO()

    def ask(self, *_: Any) -> Answer:
        return self.answer

    def looker(self, daemon: Daemon) -> _Looker:
        view = view_of("tide.flac", Loudness(json=False), io.StringIO(), self.stderr)
        return _Looker(daemon, ID, view)


AWAY = (503, refusal("the jobs process is away"))


def test_a_daemon_that_is_away_is_waited_for_and_greeted() -> None:
    api = AnsweringApi()
    with answering(api.ask) as url, Daemon(Access(url=url)) as daemon:
        looker = api.looker(daemon)
        assert looker.look(now_s=0.0) is None
        api.answer = AWAY
        for second in range(1, 30):
            assert looker.look(now_s=float(second)) is None
            assert looker.due_s == second + LOOK_S
        api.answer = (200, job_json(source_json(0), state="sealed", outcome="sealed"))
        assert looker.look(now_s=31.0) == ExitCode.SEALED
    notes = [line for line in api.stderr.getvalue().splitlines() if line.startswith("note: ")]
    assert notes == [
        f"note: the daemon at {url} cannot answer now: the jobs process is away; waiting for it",
        "note: the daemon is back",
    ]


def test_it_is_not_waited_for_for_ever_nor_at_the_beginning() -> None:
    api = AnsweringApi()
    with answering(api.ask) as url, Daemon(Access(url=url)) as daemon:
        looker = api.looker(daemon)
        looker.look(now_s=0.0)
        api.answer = AWAY
        looker.look(now_s=1.0)
        looker.look(now_s=AWAY_S_MAX)
        with pytest.raises(DaemonError, match="cannot answer now"):
            looker.look(now_s=1.1 + AWAY_S_MAX)
        with pytest.raises(DaemonError, match="cannot answer now"):
            api.looker(daemon).look(now_s=0.0)


def test_a_job_that_is_deleted_meanwhile_ends_it_at_once() -> None:
    api = AnsweringApi()
    with answering(api.ask) as url, Daemon(Access(url=url)) as daemon:
        looker = api.looker(daemon)
        looker.look(now_s=0.0)
        api.answer = (404, refusal("no such job"))
        with pytest.raises(DaemonError, match="no such job"):
            looker.look(now_s=1.0)


def test_news_bring_the_next_look_closer_and_progress_no_closer_than_its_pace() -> None:
    api = AnsweringApi()
    with answering(api.ask) as url, Daemon(Access(url=url)) as daemon:
        looker = api.looker(daemon)
        looker.look(now_s=10.0)
        assert looker.due_s == 10.0 + LOOK_S_MAX
        looker.hear(None, now_s=10.0)
        assert looker.due_s == 10.0 + LOOK_S_MAX
        looker.hear({"id": 0, "type": "job.progressed"}, now_s=10.1)
        assert looker.due_s == 10.0 + LOOK_S
        looker.hear({"id": 7, "type": "job.sealed"}, now_s=10.1)
        assert looker.due_s == 10.1 + TICK_S
        with pytest.raises(DaemonError, match="who"):
            looker.hear(Gone("who?", final=True), now_s=10.2)
