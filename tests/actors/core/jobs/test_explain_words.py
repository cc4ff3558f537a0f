"""Sentences of the bottlenecks: which of them are said together, in which order, and the numbers in them."""

from typing import Any

import pytest

from protocol.messages import DropSource, SessionChanged
from protocol.model.identity import Claim
from protocol.model.job_views import Bottleneck
from tests.actors.core.jobs.rig import GATEWAY, WEB, Rig, row
from tests.actors.core.jobs.test_explain import FLOWING, OTHER, USER, bindings, kinds, riding

QUEUED: dict[str, Any] = {"phase": "queued", "standing": "queued"}


def texts(rig: Rig, id: str) -> list[str]:
    return [each.text for each in bindings(rig, id)]


@pytest.mark.parametrize("phase", ["flowing", "granted", "stalled"])
def test_a_source_whose_turn_came_sends(phase: str) -> None:
    rig = Rig()
    id = riding(rig, {"phase": phase})
    assert texts(rig, id) == ["one source sends, and this is how fast: 1000 B/s together"]


@pytest.mark.parametrize(("first", "sends"), [(-1, False), (0, True), (3, True)])
def test_a_source_with_a_lease_sends_whatever_its_phase(first: int, sends: bool) -> None:
    rig = Rig()
    id = riding(rig, {"phase": "connecting", "lease_first": first})
    assert ("peers" in kinds(rig, id)) is sends


def test_a_source_that_was_dropped_is_not_said_to_send() -> None:
    rig = Rig()
    id = riding(rig, FLOWING, FLOWING, urls=(WEB, OTHER))
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=0, banned=False))
    assert texts(rig, id) == ["one source sends, and this is how fast: 1000 B/s together"]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([FLOWING], False),
        ([FLOWING, {}], True),
        ([FLOWING, {"chunks": 2}], False),
        ([FLOWING, FLOWING | {"chunks": 0}], False),
        ([FLOWING | {"chunks": 0}, {}], False),
    ],
)
def test_the_only_one_that_has_sent_anything_is_named_where_there_are_others(
    rows: list[dict[str, Any]], named: bool
) -> None:
    rig = Rig()
    id = riding(rig, *rows, urls=(WEB, OTHER))
    wanted = f"only {WEB} of 2 sources has sent anything yet"
    assert (wanted in texts(rig, id)) is named


def test_a_user_that_alone_has_sent_is_named_by_its_name_wherever_it_stands() -> None:
    rig = Rig()
    id = riding(rig, {}, FLOWING | {"peer": "ann"}, urls=(WEB, USER))
    assert texts(rig, id)[0] == "only ann of 2 sources has sent anything yet"


def test_places_of_those_that_wait_are_said_behind_the_rate_and_alone_without_one() -> None:
    rig = Rig()
    rows = [QUEUED | {"peer": "ann", "queue_place": 0}, {"phase": "connecting", "name": "bob.example"}]
    id = riding(rig, *rows, urls=(USER, WEB, OTHER))
    places = "waits in the queues of 2 peers (ann: place 0, bob.example: no place known)"
    assert texts(rig, id) == [places]
    rig.hear(row(1, 2, **FLOWING))
    assert texts(rig, id)[-1] == places
    assert kinds(rig, id) == ["one source", "peers", "places"]


@pytest.mark.parametrize(("count", "more"), [(5, ""), (6, ", and 1 more")])
def test_places_beyond_the_fifth_are_counted(count: int, more: str) -> None:
    rig = Rig()
    urls = tuple(f"http://{at}.example/f" for at in range(count))
    rows = [QUEUED | {"name": f"n{at}", "queue_place": at} for at in range(count)]
    id = riding(rig, *rows, urls=urls)
    shown = ", ".join(f"n{at}: place {at}" for at in range(5))
    assert texts(rig, id) == [f"waits in the queues of {count} peers ({shown}{more})"]


@pytest.mark.parametrize(("count", "more"), [(5, ""), (6, "; and 1 more")])
def test_sources_that_cannot_deliver_are_named_up_to_the_fifth(count: int, more: str) -> None:
    rig = Rig()
    urls = tuple(f"http://{at}.example/f" for at in range(count))
    rows = [{"name": f"n{at}", "standing": "cooling", "reason": "404" if at else ""} for at in range(count)]
    id = riding(rig, *rows, urls=urls)
    shown = "; ".join(["n0: cooling", *(f"n{at}: 404" for at in range(1, 5))])
    assert texts(rig, id) == [f"no source can deliver now: {shown}{more}"]
    rig.hear(row(1, count - 1, standing="candidate"))
    assert kinds(rig, id) == ["sources"]
    assert texts(rig, id) == ["its sources have been asked; they have not answered yet"]


@pytest.mark.parametrize("standing", ["candidate", "queued", "active"])
def test_one_source_that_may_still_deliver_is_hope(standing: str) -> None:
    rig = Rig()
    id = riding(rig, {"standing": "banned"}, {"standing": standing}, urls=(WEB, OTHER))
    assert texts(rig, id) == ["its sources have been asked; they have not answered yet"]


def test_a_job_that_waits_without_a_report_says_its_reason_or_that_none_has_answered() -> None:
    rig = Rig()
    id = rig.order().id
    rig.progressed(1, 0, state="waiting", reason="404")
    assert texts(rig, id) == ["no source can deliver now: 404"]
    rig.progressed(1, 0, state="waiting")
    assert texts(rig, id) == ["no source can deliver now: they have not answered"]


@pytest.mark.parametrize("phase", ["riding", "opening", "searching"])
def test_what_is_away_is_said_until_a_source_sends(phase: str) -> None:
    rig = Rig()
    id = rig.order().id
    rig.progressed(1, 0, state=phase, reason="tun0 is gone")
    assert "tun0 is gone: waits until it is back" in texts(rig, id)
    assert "its sources have not said yet whether they have the file" not in texts(rig, id)
    rig.hear(row(1, 0, **FLOWING))
    assert "tun0 is gone: waits until it is back" not in texts(rig, id)


@pytest.mark.parametrize(("rate", "near"), [(84.9, False), (85.0, True), (100.0, True)])
def test_a_limit_binds_from_85_percent_of_it_on(rate: float, near: bool) -> None:
    for rig, changes, words in (
        (Rig(), {"limit_bytes_s": 100}, "its own limit of 100 B/s"),
        (Rig(limit_bytes_s=100), {}, "the limit of 100 B/s for all jobs together"),
    ):
        id = riding(rig, FLOWING, **changes)
        rig.progressed(1, 200, rate=rate)
        assert (words in texts(rig, id)) is near


@pytest.mark.parametrize(
    ("reason", "peer", "spent"),
    [
        ("its stops of this day are spent", "ann", True),
        ("no stops left in its budget", "ann", True),
        ("its stops of this day are spent", "", False),
        ("it stops often", "ann", False),
        ("its patience is spent", "ann", False),
    ],
)
def test_users_whose_stops_are_spent_are_named(reason: str, peer: str, spent: bool) -> None:
    rig = Rig()
    id = riding(rig, {"peer": peer, "standing": "banned", "reason": reason}, FLOWING, urls=(USER, WEB))
    text = "hung up on as often as is allowed, so left to finish or alone: ann"
    assert (text in texts(rig, id)) is spent


@pytest.mark.parametrize(
    ("state", "detail", "said"),
    [
        ("online", "", []),
        ("connecting", "", ["not logged in to Soulseek (connecting)"]),
        ("kicked", "another login", ["not logged in to Soulseek (kicked): another login"]),
    ],
)
@pytest.mark.parametrize("order", [{"urls": (WEB, USER)}, {"urls": (), "term": "words"}, {"urls": (WEB,)}])
def test_the_login_matters_to_jobs_with_users(state: str, detail: str, said: list[str], order: dict[str, Any]) -> None:
    rig = Rig()
    id = rig.order(**order).id
    rig.progressed(1, 0, state="opening")
    rig.hear(SessionChanged(state=state, detail=detail, final=False))
    found = [each.text for each in bindings(rig, id) if each.kind == "login"]
    assert found == ([] if order["urls"] == (WEB,) else said)


@pytest.mark.parametrize(("active", "kind"), [(1, "queue"), (2, "queue")])
def test_a_job_that_waits_says_for_what(active: int, kind: str) -> None:
    rig = Rig(jobs_active_max=active, searching_max=1)
    rig.order(name="1", urls=(), term="some words")
    ids = [rig.order(name=name, urls=(), term=f"words {name}").id for name in "23"]
    if active == 1:
        assert texts(rig, ids[1]) == ["1 jobs are active, at most 1 may be; 1 wait before this one"]
    else:
        assert bindings(rig, ids[1]) == [
            Bottleneck(kind="search", text="1 jobs search for users already, no more may at once")
        ]
    assert kind == "queue"


def test_a_job_that_failed_says_when_it_is_tried_again_and_nothing_else() -> None:
    rig = Rig(retry_first_s=30.0, jobs_active_max=1)
    id = rig.order().id
    rig.ended(1, "starved", "404")
    rig.order(name="2")
    assert texts(rig, id) == ["it failed and is tried again in 30.0 s: 404"]
    rig.s += 29.5
    assert texts(rig, id) == ["it failed and is tried again in 0.5 s: 404"]
    rig.s += 0.5
    assert texts(rig, id) == ["1 jobs are active, at most 1 may be; 0 wait before this one"]


@pytest.mark.parametrize("state", ["disagreed", "late"])
def test_a_job_that_has_ended_says_how(state: str) -> None:
    rig = Rig()
    id = rig.order().id
    rig.ended(1, state, "why not", claim=Claim(contributors=1))
    assert texts(rig, id) == ["it has ended: failed, why not"]


def test_a_job_that_is_paused_says_by_whom() -> None:
    rig = Rig()
    id = rig.order().id
    rig.pause(id)
    assert texts(rig, id) == ["by the user; it goes on when it is resumed"]
