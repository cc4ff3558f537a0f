"""Views in a browser of what is hard to bring about: a fleet, a job whose sources had two files. The API is real."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from protocol.http_api.gateway import GatewayInbox
from protocol.messages import GetFleet, HealthReported, ListFleetJobs, ListFleetNodes, OrderFleet, RetryJob
from protocol.model.fleet.rows import FleetOrder, NodeRow, decode_row
from protocol.model.fleet.views import FleetJobView, FleetOrdered, FleetView, GoneNode
from protocol.model.identity import Claim
from tests.page.test_page import expect, held
from tests.protocol.http_api.fake_daemon import Played
from tests.protocol.http_api.rows import ID, detail_row
from tests.protocol.http_api.serving import Api, answered, serving

MIB = 1 << 20


class Fleet(Played):
    """Three nodes, the first leads and answers; they drain when asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[FleetOrder] = []

    def __call__(self, to: str, message: Any) -> Iterable[GatewayInbox]:
        match message:
            case GetFleet(request=request):
                drained = {order.node for order in self.orders if order.kind == "drain"}
                drained -= {order.node for order in self.orders if order.kind == "undrain"}
                view = FleetView(
                    fleet="home", node="ann", state="joined", text="", leader="ann", destination="s3://box",
                    limit_bytes_s=0, draining=tuple(drained), bus_bytes=9,
                    gone=(GoneNode(name="kai", silent_s=130.0, jobs=("<i>small</i>.iso",)),),
                )  # fmt: skip
                return answered(request, [view])
            case ListFleetNodes(request=request):
                nodes = ("ann", "bob", "eva")
                rows = [
                    NodeRow(
                        name=name, instance="i", version="0.3.0", rate_bytes_s=2.0 * MIB, free_bytes=64 << 30, jobs=1
                    )
                    for name in nodes
                ]
                return answered(request, rows)
            case ListFleetJobs(request=request):
                job = FleetJobView(
                    id="3f0c9f0e", name="<b>big</b>.iso", state="active", nodes=("ann", "eva"), size_bytes=512 * MIB,
                    parts=8, parts_stored=3, priority=0, attempt=1, reason="", etag="", sealed_by="", sources=4,
                )  # fmt: skip
                return answered(request, [job], total=1)
            case OrderFleet(request=request, order=order):
                self.orders.append(decode_row(FleetOrder, order))
                return answered(request, [FleetOrdered(id="", known=False)])
            case _:
                return super().__call__(to, message)


@pytest.fixture
def opened(blank_page: Any) -> Any:
    """Opens a place of the page of an API."""

    def open_(api: Api, place: str) -> Any:
        page = blank_page(locale="en-GB")
        page.goto(f"{api.url}/#/{place}")
        page.get_by_role("navigation", name="Views").wait_for()
        return page

    return open_


def test_a_fleet_is_seen_and_a_node_hands_over_its_jobs(opened: Any) -> None:
    played = Fleet()
    names = ("pid", "restarts", "age_s", "cpu_s", "memory_bytes", "fds", "threads")
    with serving(played) as api:
        api.say(HealthReported(process="fleet", **dict.fromkeys(names, 1)))
        page = opened(api, "network")
        fleet = page.get_by_role("region", name="Fleet home")
        expect(fleet).to_contain_text("Joined")  # asked for every few seconds
        expect(fleet.get_by_role("row").filter(has_text="ann").first).to_contain_text("leads, this one")
        expect(fleet).to_contain_text("<b>big</b>.iso")
        bob = fleet.get_by_role("row").filter(has_text="bob")
        expect(bob).to_contain_text("64.0 GiB")
        gone = fleet.get_by_role("row").filter(has_text="kai")
        expect(gone).to_contain_text("Gone: silent for 2 min")
        expect(gone).to_contain_text("It had: <i>small</i>.iso")
        expect(gone.get_by_role("button")).to_have_count(0)
        bob.get_by_role("button", name="Drain").click()
        held(page)
        expect(bob).to_contain_text("hands over its jobs")
        page.get_by_role("button", name="Undo").click()
        expect(bob).not_to_contain_text("hands over its jobs")
        assert [(order.kind, order.node) for order in played.orders] == [("drain", "bob"), ("undrain", "bob")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_fleet(blank_page: Any, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    names = ("pid", "restarts", "age_s", "cpu_s", "memory_bytes", "fds", "threads")
    with serving(Fleet()) as api:
        api.say(HealthReported(process="fleet", **dict.fromkeys(names, 1)))
        page = blank_page(color_scheme=scheme, bypass_csp=True)
        page.goto(f"{api.url}/#/network")
        expect(page.get_by_role("region", name="Fleet home")).to_contain_text("Joined")
        found = Axe().run(page).response["violations"]
    assert not found, [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]


def test_the_limit_of_all_nodes_is_set_and_taken_back(opened: Any) -> None:
    played = Fleet()
    names = ("pid", "restarts", "age_s", "cpu_s", "memory_bytes", "fds", "threads")
    with serving(played) as api:
        api.say(HealthReported(process="fleet", **dict.fromkeys(names, 1)))
        page = opened(api, "network")
        page.get_by_role("region", name="Fleet home").get_by_role("button", name="Limit…").click()
        page.get_by_label("At most, a second").fill("5 MB")
        page.get_by_role("button", name="Set the limit").last.click()
        held(page)
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".toast")).to_have_count(0)
        page.wait_for_timeout(300)
    assert [(order.kind, order.limit_bytes_s) for order in played.orders] == [("limit", 5_000_000), ("limit", 0)]


def test_without_a_fleet_none_is_shown_or_asked_for(opened: Any) -> None:
    with serving(Played()) as api:
        page = opened(api, "network")
        page.get_by_role("heading", name="Processes").wait_for()
        assert page.get_by_role("heading", name="Fleet").count() == 0
        assert not [message for _, message in api.posted if isinstance(message, GetFleet)]


@pytest.mark.parametrize("checksum", ["", "sha256:" + "ab" * 32])
def test_the_file_of_the_sources_that_lost_can_be_taken_where_nothing_is_proven(opened: Any, checksum: str) -> None:
    claim = Claim(kind="overlap", groups=1, contributors=2, checks_agreed=3, excluded=("slsk://eva/a.bin",))
    played = Played(detail_row(state="sealed", number=0, claim=claim, checksum=checksum))
    with serving(played) as api:
        page = opened(api, f"job/{ID}")
        expect(page.locator(".claim")).to_contain_text("left out, other content: eva")
        other = page.get_by_role("button", name="Take the other version")
        if checksum:
            expect(other).to_have_count(0)
            return
        other.click()
        expect(page.locator(".toast")).to_contain_text("the file of eva will be fetched")
        page.locator(".toast").get_by_role("button", name="Close").click()
        expect(page.locator(".toast")).to_have_count(0)
        page.wait_for_timeout(300)
        retries = [message for _, message in api.posted if isinstance(message, RetryJob)]
        assert [message.other_group for message in retries] == [True]
