"""Wishlist: searches that are repeated within the server's ration until users have the file.

What is wished for is in the job store; this process searches, one wish at a time, the one searched longest ago first. A
wish that is found is marked, and becomes a job when it says so.
"""

import asyncio
import time
import uuid
from collections.abc import Iterable
from typing import Annotated, Final

from fastapi import APIRouter, Body, Response
from msgspec.structs import replace
from pydantic import Field

from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.http_api.native import validation
from protocol.http_api.native.queries import ROOT, ask_manager
from protocol.http_api.openapi import refusals
from protocol.http_api.params import JobId
from protocol.http_api.schema_base import (
    Count,
    Id,
    MaybeMoment,
    MaybeText,
    Moment,
    RequestModel,
    ResponseModel,
    Term,
    Text,
)
from protocol.messages import CreateJob, DeleteWish, ListWishes, PutWish, SearchEnded, SearchHit, StartSearch
from protocol.messages.addresses import JOB_MANAGER, SESSION
from protocol.model.file_matches import FileMatch, FileMatches
from protocol.model.job_records import Wish
from protocol.model.job_spec import JobSpec
from protocol.model.job_views import JobDetail, whole
from protocol.model.source_url import slsk_url

WISHES_MAX: Final = 500
LOOK_S: float = 20.0
"""Between two looks at the wishlist."""
APART_S: float = 120.0
"""Between two searches for wishes, whichever they are: people's own searches need the ration too."""
AGAIN_S: float = 1800.0
"""Until the same wish is searched for again."""
SEARCH_S: Final = 15.0


class WishOrder(RequestModel):
    """A file to wish for."""

    term: Term = Field(description="Words to search for.", examples=["quartet tide flac"])
    download: bool = Field(default=False, description="Whether a job is made when it is found, from all who have it.")


class WishView(ResponseModel):
    """A file that is wished for."""

    id: Id = Field(description="Id of the wish.")
    term: Text = Field(description="Words that are searched for.")
    download: bool = Field(description="Whether a job is made when it is found.")
    created_at: Moment = Field(validation_alias="created_ms", description="When it was wished for.")
    searched_at: MaybeMoment = Field(validation_alias="searched_ms", description="The latest search; null before one.")
    found_at: MaybeMoment = Field(validation_alias="found_ms", description="When users first had it; null before.")
    found: Count = Field(description="Number of files that users had then.")
    job: MaybeText = Field(description="Id of the job that was made then; null without one.")


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(prefix=f"{ROOT}/wishlist", tags=["multisource"])

    @routes.get("", summary="The wishlist, the oldest first", responses=refusals())
    async def list_wishes() -> list[WishView]:
        return [WishView.model_validate(wish) for wish in await _wishes(gateway)]

    @routes.post("", summary="Wish for a file", responses=refusals(429))
    async def add_wish(order: Annotated[WishOrder, Body()]) -> WishView:
        """It is searched for from time to time; the same words again are the same wish."""
        term = " ".join(order.term.split())
        if not term:
            raise RefusedError("invalid", "term", "there is no word to search for")
        wishes = await _wishes(gateway)
        if len(wishes) >= WISHES_MAX:
            raise RefusedError("full", "", f"{WISHES_MAX} files are wished for already")
        fresh = Wish(id=str(uuid.uuid4()), term=term, download=order.download, created_ms=_now_ms())
        known = next((wish for wish in wishes if wish.term.casefold() == term.casefold()), fresh)
        wish = replace(known, download=order.download)
        await gateway.ask(JOB_MANAGER, PutWish(wish=wish))
        return WishView.model_validate(wish)

    @routes.delete(
        "/{id}", summary="Wish for it no more", status_code=204, response_class=Response, responses=refusals(404)
    )
    async def remove_wish(id: JobId) -> Response:
        if not (await gateway.ask(JOB_MANAGER, DeleteWish(id=id.lower()))).total:
            raise RefusedError("unknown", "id", "no such wish")
        return Response(status_code=204)

    return routes


def next_wish(wishes: Iterable[Wish], *, now_ms: int) -> Wish | None:
    """Return the wish to search for now: not found, searched longest ago; None when none is due."""
    due = [wish for wish in wishes if not wish.found_ms and now_ms - wish.searched_ms >= AGAIN_S * 1000]
    if any(0 <= now_ms - wish.searched_ms < APART_S * 1000 for wish in wishes):
        return None
    return min(due, key=lambda wish: (wish.searched_ms, wish.created_ms), default=None)


async def search_wishes(gateway: Gateway) -> None:
    """Search for wishes, as long as the application lives."""
    while True:
        try:
            await gateway.pause(LOOK_S)
            if gateway.session is not None and gateway.session.state == "online":
                wish = next_wish(await _wishes(gateway), now_ms=_now_ms())
                if wish is not None:
                    await _search(gateway, wish)
        except (UnavailableError, RefusedError):
            if gateway.closing.is_set():
                return


async def _search(gateway: Gateway, wish: Wish) -> None:
    matches = FileMatches()
    loop = asyncio.get_running_loop()
    due_s = loop.time() + 2 * SEARCH_S
    with gateway.open_request() as pending:
        post = StartSearch(search=pending.number, term=wish.term, wait_s=SEARCH_S, reply_to=gateway.address)
        pending.post(SESSION, post)
        while True:
            reply = await pending.next(wait_s=due_s - loop.time())
            if isinstance(reply, SearchHit):
                matches.add(reply)
            elif reply is None or isinstance(reply, SearchEnded):
                break
    if isinstance(reply, SearchEnded) and reply.refused:
        return  # out of ration, or no login: the next look tries again
    searched = replace(wish, searched_ms=_now_ms())
    best = matches.best()
    if best:
        searched = replace(searched, found_ms=searched.searched_ms, found=len(best))
        if wish.download:
            searched = replace(searched, job=await _order(gateway, best[0]))
    await gateway.ask(JOB_MANAGER, PutWish(wish=searched))


async def _order(gateway: Gateway, match: FileMatch) -> str:
    """Create a job for this file from those who have it; return its id."""
    daemon = gateway.settings.daemon
    urls = [slsk_url(hit.peer, hit.path) for hit in match.ranked()]
    spec = JobSpec(
        folder=validation.folder(None, daemon),
        name=validation.file_name(match.name),
        size_bytes=match.size_bytes,
        chunk_size=daemon.chunk_size,
        origin=validation.ORIGIN,
        private_ok=daemon.allow_private_sources,
        template_root=daemon.downloads,
    )
    first = next(validation.batches(urls[:256]))
    return whole((await ask_manager(gateway, CreateJob(spec=spec, sources=first))).rows(JobDetail)).job.id


async def _wishes(gateway: Gateway) -> list[Wish]:
    return (await gateway.ask(JOB_MANAGER, ListWishes())).rows(Wish)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
