"""The bus adapter against a real broker: revisions, expiry, orders, keys and access rules, and whose fault it is."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from actors.fleet.brokers import Brokers, access_rules, key_pair
from actors.fleet.bus import Bus, BusFault, BusSettings, Entry, WrongRevision, connected
from actors.runtime.free_ports import free_ports

TTL_S = 1.0


class Nodes:
    """A broker that knows n1 and n2 by their keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        keys = {name: key_pair() for name in ("n1", "n2", "stranger")}
        for name, (seed, _) in keys.items():
            path = folder / name
            path.write_text(seed)
            path.chmod(0o600)
        known = {name: public for name, (_, public) in keys.items() if name != "stranger"}
        self.brokers = Brokers(folder / "broker", more=access_rules("f", known))

    def settings(self, node: str, **changed: object) -> BusSettings:
        fields = {"servers": self.brokers.urls, "fleet": "f", "node": node, "seed_file": str(self.folder / node)}
        return BusSettings(**{**fields, "ttl_s": TTL_S, **changed})  # type: ignore[arg-type]

    async def joined(self, node: str) -> Bus:
        bus = await connected(self.settings(node))
        await bus.open_all()
        return bus


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    made = Nodes(tmp_path_factory.mktemp("fleet"))
    with made.brokers.start():
        yield made


@pytest.mark.long
def test_of_two_writers_the_second_is_refused_and_a_zombie_too(nodes: Nodes) -> None:
    async def play() -> None:
        one, two = await nodes.joined("n1"), await nodes.joined("n2")
        first = await one.create("leases", "leader", b"one")
        with pytest.raises(WrongRevision):
            await two.create("leases", "leader", b"two")
        token = await one.update("leases", "leader", b"one", first)
        with pytest.raises(WrongRevision):
            await one.update("leases", "leader", b"stale", first)
        taken = 0
        async with asyncio.timeout(5 * TTL_S + 2):
            while not taken:  # nothing tells of an expiry
                with contextlib.suppress(WrongRevision):
                    taken = await two.create("leases", "leader", b"two")
                await asyncio.sleep(0.05)
        assert taken > token  # the revision is the fencing token
        with pytest.raises(WrongRevision):
            await one.update("leases", "leader", b"zombie", token)
        assert await one.get("leases", "leader") == Entry(key="leader", value=b"two", revision=taken)
        await one.close()
        await two.close()

    asyncio.run(play())


def test_a_watch_gives_what_there_is_then_none_then_changes(nodes: Nodes) -> None:
    async def play() -> None:
        one, two = await nodes.joined("n1"), await nodes.joined("n2")
        before = await one.create("jobs", "a", b"1")
        seen = list[Entry | None]()
        watch = two.watch("jobs")
        seen += [await anext(watch), await anext(watch)]
        after = await one.delete("jobs", "a", before)
        seen.append(await anext(watch))
        gone = Entry(key="a", value=None, revision=after)
        assert seen == [Entry(key="a", value=b"1", revision=before), None, gone]
        with pytest.raises(WrongRevision):
            await one.delete("jobs", "a", before)
        await watch.aclose()  # type: ignore[attr-defined]
        await one.close()
        await two.close()

    asyncio.run(play())


def test_an_order_of_the_same_key_is_one_and_comes_again_until_it_is_done(nodes: Nodes) -> None:
    async def play() -> None:
        one = await nodes.joined("n1")
        assert [await one.order(b"order", "key"), await one.order(b"order", "key")] == [True, False]
        orders = one.orders()
        first = await anext(orders)
        assert (first.data, first.serial) == (b"order", 1)
        await first.done()
        with suppress(TimeoutError):
            another = await asyncio.wait_for(anext(orders), 0.3)
            raise AssertionError(another)
        await one.close()

    asyncio.run(play())


@pytest.mark.long
def test_a_node_writes_its_own_row_only_and_hears_no_other(nodes: Nodes) -> None:
    async def play() -> None:
        two = await nodes.joined("n2")
        await two.create("nodes", "n2", b"me")
        with pytest.raises(BusFault, match="may not use nodes n1"):
            await two.create("nodes", "n1", b"another")
        assert await two.get("nodes", "n1") is None
        await two.close()

    asyncio.run(play())


async def fault(settings: BusSettings) -> BusFault:
    try:
        await connected(settings)
    except BusFault as fault:
        return fault
    raise AssertionError("it was let in")


@pytest.mark.long
def test_every_refusal_says_in_a_line_whose_fault_it_is(nodes: Nodes) -> None:
    (port,) = free_ports(1)
    stranger = str(nodes.folder / "stranger")
    open_key = nodes.folder / "open"
    open_key.write_text("SU...")
    open_key.chmod(0o644)
    cases = {
        "does not know the key in": nodes.settings("n1", seed_file=stranger),
        "does not know a connection without a key": nodes.settings("n1", seed_file=""),
        "Connection refused": nodes.settings("n1", servers=(f"nats://127.0.0.1:{port}",)),
        "differ on TLS": nodes.settings("n1", servers=(f"tls://127.0.0.1:{nodes.brokers.ports[0]}",)),
        "others can read the key": nodes.settings("n1", seed_file=str(open_key)),
        "No such file": nodes.settings("n1", seed_file=str(nodes.folder / "none")),
        "certificates in": nodes.settings("n1", ca_file=str(nodes.folder / "none")),
    }
    for words, settings in cases.items():
        text = str(asyncio.run(fault(settings)))
        assert words in text
        assert "\n" not in text


def test_a_second_broker_is_tried_and_too_many_copies_are_a_mistake(nodes: Nodes) -> None:
    async def play() -> None:
        (port,) = free_ports(1)
        servers = (f"nats://127.0.0.1:{port}", *nodes.brokers.urls)
        bus = await connected(nodes.settings("n1", servers=servers))
        await bus.close()
        more = await connected(nodes.settings("n1", fleet="g", replicas=3))
        with pytest.raises(BusFault):
            await more.open_all()
        await more.close()

    asyncio.run(play())
