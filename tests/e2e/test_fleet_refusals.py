"""Real daemons whose brokers are not there, do not know their key, or have another fleet: a line, and they go on."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.fleet.brokers import Brokers, access_rules, key_pair
from actors.fleet.bus import BusSettings, connected
from protocol.model.fleet.names import FLEET, NODES, SETTINGS
from protocol.model.fleet.rows import FleetSettings, NodeRow, decode_row, encode_row
from tests.fleet import Fleet, Site

MIB = 1 << 20


@pytest.fixture
def leaving() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def text_of(fleet: Fleet) -> str:
    return str(fleet.view()["text"])


async def clock_an_hour_off(settings: BusSettings) -> None:
    """Write the sign of life of a node whose clock is wrong."""
    bus = await connected(settings)
    await bus.open_all()
    row = NodeRow(name=settings.node, instance="x", time_s=time.time() - 3600)
    await bus.create(NODES, settings.node, encode_row(row))
    await bus.close()


async def another_format(settings: BusSettings) -> None:
    """Write the fleet's settings as a program with another format of rows does."""
    bus = await connected(settings)
    await bus.open_all()
    found = await bus.get(SETTINGS, FLEET)
    assert found is not None
    assert found.value is not None
    row = decode_row(FleetSettings, found.value)
    await bus.update(SETTINGS, FLEET, encode_row(row.but(format=row.format + 1)), found.revision)
    await bus.close()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_broker_a_wrong_key_a_wrong_clock_and_another_version_are_said(tmp_path: Path, leaving: ExitStack) -> None:
    keys = {name: key_pair() for name in ("n1", "n2", "stranger")}
    for name, (seed, _) in keys.items():
        (tmp_path / f"{name}.nk").write_text(seed)
        (tmp_path / f"{name}.nk").chmod(0o600)
    known = {name: public for name, (_, public) in keys.items() if name != "stranger"}
    brokers = leaving.enter_context(Brokers(tmp_path / "broker", more=access_rules("test", known)))
    out, own = tmp_path / "out", tmp_path / "own.nk"
    out.mkdir()
    shutil.copy(tmp_path / "stranger.nk", own)
    site = leaving.enter_context(Site(9 * MIB))
    fleet = leaving.enter_context(Fleet(tmp_path, brokers.urls, str(out), more=f'key_file = "{own}"\n'))
    fleet.add("n1")
    fleet.ready()
    fleet.until(lambda: fleet.view()["state"] == "alone" and "no broker answers" in text_of(fleet), 60, "no broker")
    with pytest.raises(RuntimeError, match="no broker answers"):
        fleet.order("big.bin", [site.url])
    brokers.start()
    fleet.until(lambda: "does not know the key in" in text_of(fleet), 60, "a wrong key")
    shutil.copy(tmp_path / "n1.nk", own)
    fleet.joined(1)
    id = fleet.order("big.bin", [site.url])
    assert fleet.ended(id, within_s=90)["state"] == "sealed"
    other = BusSettings(servers=brokers.urls, fleet="test", node="n2", seed_file=str(tmp_path / "n2.nk"))
    asyncio.run(clock_an_hour_off(other))
    fleet.until(lambda: "the clocks of n2 and n1 differ" in text_of(fleet), 30, "a clock")
    asyncio.run(another_format(other))
    fleet.until(lambda: fleet.view()["state"] == "out" and "format 2" in text_of(fleet), 30, "a version")


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_second_of_two_fleets_with_one_name_stays_out_and_the_first_goes_on(
    tmp_path: Path, leaving: ExitStack
) -> None:
    brokers = leaving.enter_context(Brokers(tmp_path / "broker")).start()
    site = leaving.enter_context(Site(9 * MIB))
    first, second = (tmp_path / name for name in ("first", "second"))
    fleets = []
    for place in (first, second):
        (place / "out").mkdir(parents=True)
        fleet = leaving.enter_context(Fleet(place, brokers.urls, str(place / "out")))
        fleet.add("n1" if place == first else "n2")
        fleet.ready()
        fleet.until(lambda fleet=fleet: fleet.view()["state"] != "alone", 60, "connected")
        fleets.append(fleet)
        if place == first:
            fleet.joined(1)
    one, two = fleets
    two.until(lambda: two.view()["state"] == "out", 60, "it takes part")
    assert f"stores to {first / 'out'}, not to {second / 'out'}" in text_of(two)
    assert "give this one another name" in text_of(two)
    assert one.ended(one.order("big.bin", [site.url]), within_s=90)["state"] == "sealed"
    assert not list((second / "out").iterdir())


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_file_of_more_than_ten_thousand_parts_of_the_largest_size_fails_with_a_reason(
    tmp_path: Path, leaving: ExitStack
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    brokers = leaving.enter_context(Brokers(tmp_path / "broker")).start()
    site = leaving.enter_context(Site(MIB, said=60 << 40))
    fleet = leaving.enter_context(Fleet(tmp_path, brokers.urls, str(out)))
    fleet.add("n1")
    fleet.joined(1)
    job = fleet.ended(fleet.order("huge.bin", [site.url]), within_s=60)
    assert (job["state"], "10000 parts" in job["reason"]) == ("failed", True), job["reason"]
