"""Routes of the fleet: nodes and jobs of all machines, asked of any of them, and orders for them."""

import secrets
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Path, Query, Response
from pydantic import Field

from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.native import job_schemas as schemas
from protocol.http_api.native import validation
from protocol.http_api.native.documents import MetalinkReader
from protocol.http_api.native.downloads import as_described, kept_pieces
from protocol.http_api.native.order_schemas import UrlSource
from protocol.http_api.native.queries import ROOT
from protocol.http_api.openapi import TOTAL, add_route, refusals
from protocol.http_api.params import PAGE, IdempotencyKey, Limit, Offset
from protocol.http_api.schema_base import (
    CHECKSUM,
    PAGE_MAX,
    SOURCES_MAX,
    WHOLE,
    Count,
    FileName,
    FileSize,
    MaybeCount,
    MaybeText,
    Number,
    Priority,
    Rate,
    RequestModel,
    ResponseModel,
    Text,
)
from protocol.messages import ExplainFleetJob, GetFleet, ListFleetJobs, ListFleetNodes, OrderFleet
from protocol.messages.addresses import FLEET, split_address
from protocol.model.fleet.rows import FleetOrder, NodeRow, encode_row
from protocol.model.fleet.views import FleetJobView, FleetOrdered, FleetView
from protocol.model.job_spec import JobSpec
from protocol.model.job_views import Bottleneck

ORDER_S: Final = 15.0
"""An order waits for the brokers to store it and for the leader to take it."""
ID: Final = (
    "^[0-9a-f][0-9a-f-]{3,39}$"  # ids of a machine's own jobs have hyphens: they are unknown here, not malformed
)
NODE: Final = "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"
State = Literal["queued", "placed", "active", "sealing", "sealed", "failed", "cancelled"]
FleetId = Annotated[
    str,
    Path(description="A job's id, or how it begins.", pattern=ID, min_length=4, max_length=40, examples=["3f0c9f0e"]),
]
NodeName = Annotated[
    str, Path(description="Name of a node.", pattern=NODE, min_length=1, max_length=32, examples=["n1"])
]
States = Annotated[list[State], Query(alias="state", description="Only jobs in these states; none: all.", max_length=7)]


class FleetOrderBody(RequestModel):
    """Fetch one file by the fleet, into its bucket or folder."""

    filename: FileName = Field(description="Name of the finished object or file; of a path all parts are kept.",
                               examples=["images/big.iso"])  # fmt: skip
    sources: Annotated[list[UrlSource], Field(min_length=1, max_length=SOURCES_MAX)] = Field(
        description="Where the file can be had. Addresses with a password are refused: they would leave this machine."
    )
    file_size: FileSize | None = Field(default=None, description="Exact size in bytes; null: the sources say it.")
    checksum: Annotated[str, Field(pattern=CHECKSUM, max_length=150)] | None = Field(
        default=None, description="algorithm:hex of the whole; the finished file is compared with it."
    )
    priority: Priority = Field(default=0, description="The highest is placed first.")
    nodes: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(
        default=1000, description="How many nodes may fetch it together, each some of its parts."
    )


class FleetLimit(RequestModel):
    """A limit for all nodes together."""

    limit: Rate = Field(description="Bytes a second of all nodes together; 0: none.")


class Ordered(ResponseModel):
    """An order that the fleet has stored."""

    id: Text = Field(description="Id of the job; empty for an order that makes none.")
    known: bool = Field(description="Whether the fleet had an order of this key already.")


class FleetNode(ResponseModel):
    """One machine of the fleet."""

    name: Text = Field(description="Its name.")
    version: Text = Field(description="Version of its program.")
    rate_bytes_s: Number = Field(description="What all its jobs receive now.")
    free_bytes: MaybeCount = Field(description="Free disk; null when unknown.")
    slots: Count = Field(description="Jobs of the fleet that it works on at a time.")
    jobs: Count = Field(description="Those that it works on now.")
    draining: bool = Field(description="It takes no new jobs and hands over those that it has.")
    schemes: list[Text] = Field(description="Kinds of sources that it can reach.")


class GoneFleetNode(ResponseModel):
    """A node that is not there any more."""

    name: Text = Field(description="Its name.")
    silent_s: Number = Field(description="Seconds since its last sign of life.")
    jobs: list[Text] = Field(description="Names of the jobs that it had; other nodes go on with them.")


class Fleet(ResponseModel):
    """The fleet, as the node that was asked sees it."""

    fleet: Text = Field(description="Name of the fleet.")
    node: Text = Field(description="The node that answers.")
    state: Literal["joined", "alone", "out"] = Field(
        description="joined; alone: no broker is connected; out: it takes no part until it is started again."
    )
    text: MaybeText = Field(description="Why it is not joined, or what it said last; null when there is nothing.")
    leader: MaybeText = Field(description="The node that places jobs; null while there is none.")
    destination: Text = Field(description="Where finished files go.")
    limit_bytes_s: Count = Field(description="Of all nodes together; 0: none.")
    draining: list[Text] = Field(description="Nodes that hand over what they have.")
    bus_bytes: Count = Field(description="What this node moved through the broker since it was connected.")
    nodes: list[FleetNode] = Field(description="The nodes that are there.")
    gone: list[GoneFleetNode] = Field(description="Nodes that were there within the last day, the latest first.")


class FleetJob(ResponseModel):
    """One job of the fleet."""

    id: Text = Field(description="Its id.")
    name: Text = Field(description="Name of the finished object or file.")
    state: State = Field(description="Its state.")
    nodes: list[Text] = Field(description="Nodes that it is placed on; the first one seals it.")
    size_bytes: MaybeCount = Field(description="Size of the file; null while unknown.")
    parts: Count = Field(description="Number of its parts; 0 while unknown.")
    parts_stored: Count = Field(description="Parts that are at the destination.")
    priority: int = Field(description="Its priority.")
    attempt: Count = Field(description="How often it was placed.")
    reason: MaybeText = Field(description="Why it waits or failed; null when there is nothing to say.")
    etag: MaybeText = Field(description="ETag of the finished object; null before.")
    sealed_by: MaybeText = Field(description="The node that completed it; null before.")
    sources: Count = Field(description="Number of its sources.")


class FleetWhy(ResponseModel):
    """Explanation of a job of the fleet."""

    bindings: Annotated[list[schemas.Bottleneck], Field(max_length=PAGE_MAX)] = Field(
        description="Each cause, in order."
    )


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(prefix=f"{ROOT}/fleet", tags=["multisource"])
    handlers = FleetRoutes(gateway)
    paged: dict[int | str, dict[str, Any]] = {200: {"headers": TOTAL, "description": "A page of them."}}
    for method, path, handler, summary, model, responses in (
        ("GET", "", handlers.get_fleet, "The fleet and its nodes", Fleet, refusals(409)),
        ("GET", "/jobs", handlers.list_fleet_jobs, "Jobs of all nodes", list[FleetJob], {**paged, **refusals(409)}),
        ("POST", "/jobs", handlers.order_fleet_job, "Fetch a file by the fleet", Ordered, refusals(409)),
        ("GET", "/jobs/{id}/why", handlers.explain_fleet_job, "What holds it back", FleetWhy, refusals(404, 409)),
        ("POST", "/jobs/{id}/cancel", handlers.cancel_fleet_job, "End a job of the fleet", Ordered,
         refusals(404, 409)),
        ("PUT", "/limit", handlers.limit_fleet, "Limit all nodes together", Ordered, refusals(409)),
        ("POST", "/nodes/{name}/drain", handlers.drain_node, "Let a node hand over its jobs", Ordered,
         refusals(404, 409)),
        ("POST", "/nodes/{name}/undrain", handlers.undrain_node, "Let it take jobs again", Ordered,
         refusals(404, 409)),
    ):  # fmt: skip
        add_route(routes, method, path, handler, summary=summary, model=model, responses=responses)
    return routes


class FleetRoutes:
    """Handlers of these routes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway: Final = gateway
        self._metalinks: Final = MetalinkReader(gateway)

    async def get_fleet(self) -> Fleet:
        """Any node answers for all of them."""
        self._need_fleet()
        view = (await self._gateway.ask(FLEET, GetFleet())).row(FleetView)
        nodes = (await self._gateway.ask(FLEET, ListFleetNodes())).rows(NodeRow)
        shown = {name: getattr(view, name) for name in view.__struct_fields__}
        shown["gone"] = [GoneFleetNode.model_validate(node) for node in view.gone]
        return Fleet(**shown, nodes=[FleetNode.model_validate(node) for node in nodes])

    async def list_fleet_jobs(
        self, response: Response, state: States | None = None, offset: Offset = 0, limit: Limit = PAGE
    ) -> list[FleetJob]:
        """The newest first."""
        self._need_fleet()
        wanted = ListFleetJobs(states=tuple(state or ()), offset=offset, limit=limit)
        answer = await self._gateway.ask(FLEET, wanted)
        response.headers["X-Total-Count"] = str(answer.total)
        return [FleetJob.model_validate(row) for row in answer.rows(FleetJobView)]

    async def order_fleet_job(
        self, order: Annotated[FleetOrderBody, Body()], idempotency_key: IdempotencyKey = None
    ) -> Ordered:
        """Answered once the brokers have stored it: the same key again is the same job, at whichever node."""
        self._need_fleet()
        daemon = self._gateway.settings.daemon
        urls = validation.addresses(order.sources, private_ok=daemon.allow_private_sources)
        size = -1 if order.file_size is None else order.file_size
        name = order.filename.replace("\\", "/").strip("/")
        spec = JobSpec(folder="", name=validation.file_name(name), size_bytes=size, checksum=order.checksum or "")
        if (document := validation.document_among(urls)) >= 0:
            described = await self._metalinks.stands_for(urls, document, spec.http, size_bytes=size, notes=[])
            pieces = await kept_pieces(self._gateway, described.pieces)
            spec, urls = as_described(spec, described).but(pieces=pieces), list(described.urls)
            name = f"{name.rpartition('/')[0]}/{spec.name}".strip("/")
        wanted = FleetOrder(
            kind="create",
            key=idempotency_key or secrets.token_hex(10),
            spec=spec.but(private_ok=daemon.allow_private_sources, origin=validation.ORIGIN),
            sources=tuple(urls),
            destination=name,
            priority=order.priority,
            spread=order.nodes,
        )
        return await self._order(wanted)

    async def explain_fleet_job(self, id: FleetId) -> FleetWhy:
        """From the rows of the fleet, and from the nodes that have it."""
        rows = (await self._ask_of_job(ExplainFleetJob(id=id))).rows(Bottleneck)
        return FleetWhy(bindings=[schemas.Bottleneck.model_validate(row) for row in rows])

    async def cancel_fleet_job(self, id: FleetId) -> Ordered:
        """What is stored of it is removed. A job that has ended stays as it is."""
        await self._ask_of_job(ExplainFleetJob(id=id))
        jobs = (await self._gateway.ask(FLEET, ListFleetJobs(states=(), offset=0, limit=1 << 30))).rows(FleetJobView)
        whole = next(job.id for job in jobs if job.id.startswith(id))
        return await self._order(FleetOrder(kind="cancel", key=f"cancel-{whole}", job=whole))

    async def limit_fleet(self, order: Annotated[FleetLimit, Body()]) -> Ordered:
        """Shared by the nodes according to what they can use, from now on."""
        return await self._order(FleetOrder(kind="limit", key=secrets.token_hex(10), limit_bytes_s=order.limit))

    async def drain_node(self, name: NodeName) -> Ordered:
        """It takes nothing new and hands over what it has."""
        return await self._order_node("drain", name)

    async def undrain_node(self, name: NodeName) -> Ordered:
        """The opposite."""
        return await self._order_node("undrain", name)

    async def _order_node(self, kind: str, name: str) -> Ordered:
        """Order something of a node that is there, or of one that is gone and was drained before."""
        fleet = await self.get_fleet()
        if name not in {*fleet.draining, *(node.name for node in fleet.nodes)}:
            raise RefusedError("unknown", "name", f"the fleet has no node {name!r}")
        return await self._order(FleetOrder(kind=kind, key=secrets.token_hex(10), node=name))

    async def _ask_of_job(self, request: ExplainFleetJob) -> Any:
        self._need_fleet()
        try:
            return await self._gateway.ask(FLEET, request)
        except RefusedError as refused:
            raise RefusedError(refused.kind, "id" if refused.kind == "unknown" else "", refused.detail) from None

    async def _order(self, order: FleetOrder) -> Ordered:
        self._need_fleet()
        answer = await self._gateway.ask(FLEET, OrderFleet(order=encode_row(order)), wait_s=ORDER_S)
        return Ordered.model_validate(answer.row(FleetOrdered))

    def _need_fleet(self) -> None:
        """Refuse where this daemon has no fleet: no retry will help."""
        why = self._gateway.away.get(split_address(FLEET)[0], "")
        if why == "no fleet is configured":
            raise RefusedError("conflict", "", why)
