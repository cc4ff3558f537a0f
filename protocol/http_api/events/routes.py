"""Routes of events: pages of the record, and the live stream (server-sent events)."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from protocol.http_api.events.replay_feed import Event, plain
from protocol.http_api.events.sse import EventStream, Filter
from protocol.http_api.gateway import Gateway
from protocol.http_api.openapi import TOTAL, refusals
from protocol.http_api.params import PAGE, Flag, Limit, Offset
from protocol.http_api.schema_base import COUNT_MAX, UUID
from protocol.messages import ListEvents
from protocol.messages.addresses import JOB_MANAGER
from protocol.model.event_kinds import KINDS
from protocol.model.job_records import EventEntry

_KINDS: Final = "^(" + "|".join(kind.replace(".", r"\.") for kind in KINDS) + ")$"
After = Annotated[
    int,
    Query(description="Only events newer than the one with this id, the oldest first; -1: all.", ge=-1, le=COUNT_MAX),
]
Kinds = Annotated[
    list[Annotated[str, Query(pattern=_KINDS, max_length=40, json_schema_extra={"enum": list(KINDS)})]],
    Query(description="Only these types; repeat it for more. Without: all.", max_length=len(KINDS)),
]
Job = Annotated[str | None, Query(description="Only events of the job with this id.", pattern=UUID, max_length=36)]
Progress = Annotated[Flag, Query(description="Whether progress is sent too, up to several times a second for a job.")]
LastSeen = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Id of the last event that was seen: the stream begins with all that is kept since.",
        max_length=20,
        pattern="^[0-9]{1,16}$",
    ),
]
LastSeenToo = Annotated[
    int | None,
    Query(
        alias="lastEventId",
        description="The same for clients that cannot set headers; the header goes first.",
        ge=0,
        le=COUNT_MAX,
    ),
]
STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events. Each has its type as event, an Event as data and, if it is kept, its id.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(tags=["events"])

    @routes.get(
        "/api/v0/multisource/events",
        summary="What happened, a page of it",
        responses={200: {"headers": TOTAL, "description": "The newest first, or with after the oldest."}, **refusals()},
    )
    async def get_events(response: Response, after: After = -1, offset: Offset = 0, limit: Limit = PAGE) -> list[Event]:
        answer = await gateway.ask(JOB_MANAGER, ListEvents(after=after, offset=offset, limit=limit))
        response.headers["X-Total-Count"] = str(answer.total)
        return [Event(**plain(entry)) for entry in answer.rows(EventEntry)]

    @routes.get("/api/v0/events/kinds", summary="Which types of events there are", responses=refusals())
    async def get_event_kinds() -> dict[str, str]:
        return KINDS

    @routes.get(
        "/api/v0/events/stream",
        summary="What happens, as it happens",
        response_class=StreamingResponse,
        responses={**refusals(), **STREAM},
    )
    async def stream_events(
        job: Job = None,
        kind: Kinds = [],  # noqa: B006  # read by the framework, never changed
        progress: Progress = True,
        last_seen: LastSeen = None,
        last_seen_too: LastSeenToo = None,
    ) -> EventStream:
        seen = int(last_seen) if last_seen is not None else last_seen_too
        selected = Filter(job=(job or "").lower(), kinds=tuple(kind), progress=progress)
        return EventStream(gateway, selected, last=-1 if seen is None else seen)

    return routes
