"""The gateway: questions find their answers, and no one waits for one that will not come."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from protocol.config.settings import Webhook, parts_of
from protocol.http_api import gateway as gateway_module
from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.messages import (
    ConfigureGateway,
    EventOccurred,
    GetCounts,
    Message,
    ProcessLost,
    ProcessReady,
    RequestAnswered,
    RequestRefused,
    SearchEnded,
    SearchHit,
    SessionChanged,
    StartSearch,
    WatchEvents,
)
from protocol.messages.addresses import GATEWAY, JOB_MANAGER, SESSION
from protocol.messages.codec import decode, encode
from protocol.model.job_views import StopCount
from tests.protocol.http_api.serving import answered, open_settings

COUNTS = GetCounts()


def with_gateway(
    played: Callable[[Gateway, list[tuple[str, Any]]], Coroutine[Any, Any, None]],
    answer: Callable[[Gateway, str, Any], None] = lambda gateway, to, message: None,
) -> None:
    async def main() -> None:
        posted: list[tuple[str, Any]] = []

        def post(to: str, message: Message) -> None:
            posted.append((to, message))
            answer(gateway, to, message)

        gateway = Gateway(open_settings(), address=GATEWAY, post=post, first_number=7 << 32)
        await played(gateway, posted)

    asyncio.run(main())


def test_the_parts_of_an_answer_become_its_rows() -> None:
    rows = [StopCount(peer=f"peer{number}" * 40, day="2026-11-25", count=number) for number in range(1000)]

    def answer(gateway: Gateway, _to: str, message: Any) -> None:
        parts = answered(message.request, rows, total=5000)
        assert len(parts) > 1
        for part in parts:
            gateway.receive(part)

    async def played(gateway: Gateway, posted: list[tuple[str, Any]]) -> None:
        got = await gateway.ask(JOB_MANAGER, COUNTS)
        assert got.rows(StopCount) == rows
        assert got.total == 5000
        assert posted == [(JOB_MANAGER, GetCounts(request=7 << 32, reply_to=GATEWAY))]

    with_gateway(played, answer)


def test_a_refusal_is_raised_with_all_it_says() -> None:
    def answer(gateway: Gateway, _to: str, message: Any) -> None:
        gateway.receive(RequestRefused(request=message.request, kind="conflict", field="state", detail="it has ended"))

    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        with pytest.raises(RefusedError) as caught:
            await gateway.ask(JOB_MANAGER, COUNTS)
        assert (caught.value.kind, caught.value.field, caught.value.detail) == ("conflict", "state", "it has ended")

    with_gateway(played, answer)


def test_who_does_not_answer_in_time_is_unavailable_and_its_late_word_goes_nowhere() -> None:
    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        with pytest.raises(UnavailableError, match="jobs did not answer"):
            await gateway.ask(JOB_MANAGER, COUNTS, wait_s=0.01)
        gateway.receive(RequestAnswered(request=7 << 32, body=b"\x90", total=0, last=True))

    with_gateway(played)


def test_the_death_of_who_was_asked_ends_the_wait_and_who_is_known_to_be_away_is_not_asked() -> None:
    async def played(gateway: Gateway, posted: list[tuple[str, Any]]) -> None:
        asking = asyncio.ensure_future(gateway.ask(JOB_MANAGER, COUNTS, wait_s=60.0))
        await asyncio.sleep(0)
        gateway.receive(ProcessLost(process="jobs", detail="killed by SIGKILL", restart_s=0.1))
        with pytest.raises(UnavailableError, match="killed by SIGKILL"):
            await asking
        with pytest.raises(UnavailableError, match="away"):
            await gateway.ask(JOB_MANAGER, COUNTS, wait_s=60.0)
        assert len(posted) == 1
        gateway.receive(ProcessReady(process="jobs", pid=1))
        assert posted[-1] == (JOB_MANAGER, WatchEvents(reply_to=GATEWAY)), "it forgot who listens"

    with_gateway(played)


def test_the_death_of_another_disturbs_no_question() -> None:
    def answer(gateway: Gateway, _to: str, message: Any) -> None:
        gateway.receive(ProcessLost(process="hub", detail="died", restart_s=0.0))
        for part in answered(message.request):
            gateway.receive(part)

    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        assert (await gateway.ask(JOB_MANAGER, COUNTS)).bodies

    with_gateway(played, answer)


def test_a_talk_hears_its_own_search_only() -> None:
    def hit(search: int, peer: str) -> SearchHit:
        return SearchHit(
            search=search,
            peer=peer,
            path="m\\a.flac",
            size_bytes=1,
            slots_free=True,
            speed_bytes_s=1,
            queue_length=0,
            locked=False,
        )

    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        with gateway.open_request() as pending:
            asked = StartSearch(search=pending.number, term="a", wait_s=1.0, reply_to=gateway.address)
            pending.post(SESSION, asked)
            gateway.receive(hit(pending.number + 1, "someone"))
            gateway.receive(hit(pending.number, "mine"))
            gateway.receive(SearchEnded(search=pending.number, peers=1, refused=""))
            assert await pending.next(wait_s=1.0) == hit(pending.number, "mine")
            assert isinstance(await pending.next(wait_s=1.0), SearchEnded)
            assert await pending.next(wait_s=0.0) is None

    with_gateway(played)


def test_a_talk_that_is_not_read_is_bounded_and_still_hears_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "REPLIES_MAX", 3)

    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        with gateway.open_request() as pending:
            for _ in range(10):
                gateway.receive(RequestAnswered(request=pending.number, body=b"", total=0, last=False))
            gateway.receive(SearchEnded(search=pending.number, peers=0, refused=""))
            heard = [await pending.next(wait_s=0.0) for _ in range(5)]
            assert [type(one).__name__ for one in heard] == ["RequestAnswered"] * 3 + ["SearchEnded", "NoneType"]
            assert pending.truncated

    with_gateway(played)


def event(serial: int) -> EventOccurred:
    return EventOccurred(serial=serial, at_ms=0, kind="job.queued", id="", data=b"{}")


def test_a_slow_listener_loses_the_oldest_events_and_is_reported_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "EVENTS_QUEUED_MAX", 3)

    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        with gateway.listen() as slow, gateway.listen() as quick:
            seen = []
            for serial in range(1, 6):
                gateway.receive(event(serial))
                seen.append(await quick.next(wait_s=0.0))
            assert seen == [event(serial) for serial in range(1, 6)]
            assert [await slow.next(wait_s=0.0) for _ in range(5)] == [2, event(3), event(4), event(5), None]

    with_gateway(played)


def test_closing_ends_every_stream_and_question() -> None:
    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        asking = asyncio.ensure_future(gateway.ask(JOB_MANAGER, COUNTS, wait_s=60.0))
        with gateway.listen() as listener:
            hearing = asyncio.ensure_future(listener.next(wait_s=60.0))
            await asyncio.sleep(0)
            gateway.close()
            for waiting in (asking, hearing, gateway.ask(JOB_MANAGER, COUNTS, wait_s=60.0)):
                with pytest.raises(UnavailableError, match="stopping"):
                    await waiting

    with_gateway(played)


def test_only_a_bounded_number_listen() -> None:
    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        gateway.settings = open_settings(streams_max=1)
        with gateway.listen(), pytest.raises(RefusedError), gateway.listen():
            pass
        with gateway.listen():
            pass

    with_gateway(played)


def test_another_configuration_comes_in_parts_and_holds_when_the_last_one_is_there() -> None:
    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        before = gateway.settings
        hooks = tuple(Webhook(name=f"hook{number}", url="http://h/" + "x" * 1900) for number in range(50))
        after = replace(open_settings(streams_max=7), webhooks=hooks)
        parts = list(parts_of(after))
        assert len(parts) > 1
        for part, last in parts:
            assert gateway.settings == before
            gateway.receive(decoded(ConfigureGateway(part=part, last=last)))
        assert gateway.settings == after

    with_gateway(played)


def decoded(message: ConfigureGateway) -> ConfigureGateway:
    travelled = decode(encode(message))
    assert isinstance(travelled, ConfigureGateway)
    return travelled


def test_the_latest_word_about_the_login_is_kept() -> None:
    async def played(gateway: Gateway, _posted: list[tuple[str, Any]]) -> None:
        gateway.receive(SessionChanged(state="online", detail="", final=False))
        assert gateway.session is not None
        assert gateway.session.state == "online"

    with_gateway(played)
