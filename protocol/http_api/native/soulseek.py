"""Routes of Soulseek users.

Search, sources of a file, shared files, known users, the ledger of stops; and of the total bandwidth limit.
"""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query, Response

from protocol.http_api.gateway import Gateway, RefusedError, UnavailableError
from protocol.http_api.native import peer_schemas as schemas
from protocol.http_api.native import serializers, validation
from protocol.http_api.native.order_schemas import SEARCH_MS_MAX, SEARCH_MS_MIN, FileWanted, LimitOrder, ScheduleOrder
from protocol.http_api.native.queries import ROOT, need_account, shared_files
from protocol.http_api.openapi import TOTAL, add_route, refusals
from protocol.http_api.params import PAGE, FolderName, Limit, Offset, User, Username
from protocol.http_api.schema_base import PRINTABLE, SIZE_MAX
from protocol.messages import (
    GetCounts,
    GetSearchRation,
    ListPeers,
    ListShares,
    ListStops,
    ListUploads,
    SearchEnded,
    SearchHit,
    SetSchedule,
    SetTotalLimit,
    StartSearch,
)
from protocol.messages.addresses import JOB_MANAGER, PEER_HISTORY, SESSION
from protocol.model.file_matches import FileMatches, extension_of
from protocol.model.filenames import base_name
from protocol.model.job_policy import LimitWindow
from protocol.model.job_views import Counts, PeerView, SearchRation, SharedFolderView, StopCount, UploadView
from protocol.model.limits import TERM_CHARS_MAX

SEARCH_GRACE_S: Final = 5.0
"""Grace for a search to report its end after its time is over."""
EXCHANGE_S: Final = 2.0
"""A session that does not answer in this time is as none."""
FILES_S: Final = 90.0
"""A list of shared files comes from the user's own machine, over one more connection."""

SearchText = Annotated[
    str,
    Query(
        alias="searchText",
        description="Words to search for.",
        min_length=1,
        max_length=TERM_CHARS_MAX,
        pattern=PRINTABLE,
        examples=["quartet tide flac"],
    ),
]
Size = Annotated[int | None, Query(description="Only files of exactly this size in bytes.", ge=1, le=SIZE_MAX)]
SearchTimeout = Annotated[
    int,
    Query(
        alias="searchTimeout",
        description="Milliseconds for which answers are awaited.",
        ge=SEARCH_MS_MIN,
        le=SEARCH_MS_MAX,
    ),
]


def router(gateway: Gateway) -> APIRouter:
    """Build these routes."""
    routes = APIRouter(prefix=ROOT, tags=["multisource"])
    users = Users(gateway)
    paged: dict[int | str, dict[str, Any]] = {200: {"headers": TOTAL, "description": "A page of them."}}
    for method, path, handler, summary, model, responses in (
        ("GET", "/search", users.search, "Search Soulseek users", schemas.Found, {**paged, **refusals(409)}),
        ("POST", "/file-sources", users.find_file_sources, "Who has this file?", schemas.FileSources, refusals(409)),
        ("GET", "/users", users.list_users, "Users who are known from earlier jobs", list[schemas.KnownUser], paged),
        ("GET", "/users/{username:path}/files", users.list_user_files, "What a user shares", schemas.UserFiles,
         refusals(404, 409)),
        ("GET", "/stops", users.list_stops, "How often users were stopped early", list[schemas.StopsOfDay], paged),
        ("GET", "/exchange", users.get_exchange, "Searches left, shares and uploads", schemas.Exchange, refusals()),
        ("GET", "/limit", users.get_limit, "The limit of all jobs together", schemas.Limit, refusals()),
        ("PUT", "/limit", users.set_limit, "Another limit for all jobs together, at once", schemas.Limit, refusals()),
        ("PUT", "/limit/schedule", users.set_schedule, "Other limits by the time of the week", schemas.Limit,
         refusals()),
    ):  # fmt: skip
        add_route(routes, method, path, handler, summary=summary, model=model, responses=responses)
    return routes


class Users:
    """Handlers of these routes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway: Final = gateway

    async def search(
        self,
        response: Response,
        search_text: SearchText,
        size: Size = None,
        search_timeout: SearchTimeout = 10_000,
        offset: Offset = 0,
        limit: Limit = PAGE,
    ) -> schemas.Found:
        """What users answer, as targets: files of the same exact size, extension and name, most users first.

        Searches are rationed, because the server bans clients that search too much: 429 then. Without a login: 409.
        """
        targets, hits = await self._searched(search_text, search_timeout / 1000)
        best = targets.best(size_bytes=-1 if size is None else size)
        response.headers["X-Total-Count"] = str(len(best))
        return schemas.Found(
            search_text=search_text,
            hits=hits,
            refused=targets.refused,
            targets=[serializers.file_match(one) for one in best[offset : offset + limit]],
        )

    async def find_file_sources(self, wanted: Annotated[FileWanted, Body()]) -> schemas.FileSources:
        """Users who have a file of this size and name; the name's words are searched for, in any order."""
        term = validation.words_of(wanted.filename)
        targets, _ = await self._searched(term, wanted.search_timeout / 1000)
        best = targets.best(size_bytes=wanted.size, extension=extension_of(wanted.filename), like=[wanted.filename])[:1]
        return schemas.FileSources(
            filename=base_name(wanted.filename),
            size=wanted.size,
            sources=[holder for one in best for holder in serializers.holders(one)][: schemas.HITS_TOLD_MAX],
        )

    async def list_users(self, response: Response, offset: Offset = 0, limit: Limit = PAGE) -> list[schemas.KnownUser]:
        """The fastest first."""
        answer = await self._gateway.ask(PEER_HISTORY, ListPeers(offset=offset, limit=limit))
        response.headers["X-Total-Count"] = str(answer.total)
        return [serializers.known_user(row) for row in answer.rows(PeerView)]

    async def list_user_files(self, username: Username, folder: FolderName = "") -> schemas.UserFiles:
        """Asked of the user now: 404 when it is not there, 409 without a login."""
        need_account(self._gateway)
        found, truncated = await shared_files(self._gateway, username, folder, field="username", wait_s=FILES_S)
        return schemas.UserFiles(
            username=username,
            folders=[
                schemas.SharedFolder(name=name, files=[schemas.SharedFile(filename=n, size=s) for n, s in files])
                for name, files in found.items()
            ],
            truncated=truncated,
        )

    async def list_stops(
        self, response: Response, username: User = "", offset: Offset = 0, limit: Limit = PAGE
    ) -> list[schemas.StopsOfDay]:
        """The newest day first."""
        answer = await self._gateway.ask(PEER_HISTORY, ListStops(peer=username, offset=offset, limit=limit))
        response.headers["X-Total-Count"] = str(answer.total)
        return [schemas.StopsOfDay.model_validate(row) for row in answer.rows(StopCount)]

    async def get_exchange(self) -> schemas.Exchange:
        """Asked of the session now; without one all of it is empty."""
        questions = (GetSearchRation(), ListShares(), ListUploads())
        answers = await asyncio.gather(
            *(self._gateway.ask(SESSION, each, wait_s=EXCHANGE_S) for each in questions), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, UnavailableError | RefusedError):
                raise answer
        ration, shares, uploads = (None if isinstance(each, BaseException) else each for each in answers)
        return schemas.Exchange(
            searches=schemas.Searches.model_validate(ration.row(SearchRation)) if ration else None,
            shares=[schemas.Shared.model_validate(row) for row in shares.rows(SharedFolderView)] if shares else [],
            uploads=[schemas.Upload.model_validate(row) for row in uploads.rows(UploadView)] if uploads else [],
        )

    async def get_limit(self) -> schemas.Limit:
        """What holds now, by order, configuration or schedule."""
        answer = await self._gateway.ask(JOB_MANAGER, GetCounts())
        return serializers.limit(answer.row(Counts))

    async def set_limit(self, order: Annotated[LimitOrder, Body()]) -> schemas.Limit:
        """Until the next such order or restart, whatever the schedule says."""
        limit_bytes_s = -1 if order.limit is None else order.limit
        answer = await self._gateway.ask(JOB_MANAGER, SetTotalLimit(limit_bytes_s=limit_bytes_s))
        return serializers.limit(answer.row(Counts))

    async def set_schedule(self, order: Annotated[ScheduleOrder, Body()]) -> schemas.Limit:
        """From now on and after restarts. A limit that was set by hand goes before it, until it is set to null."""
        windows = None
        if order.schedule is not None:
            windows = tuple(
                LimitWindow(
                    days=tuple(sorted(set(each.days))),
                    begin_minute=each.begin_minute,
                    end_minute=each.end_minute,
                    limit_bytes_s=each.limit,
                )
                for each in order.schedule
            )
        answer = await self._gateway.ask(JOB_MANAGER, SetSchedule(windows=windows))
        return serializers.limit(answer.row(Counts))

    def checked_term(self, term: str) -> str:
        """Return the words to search for. Refuses none, and any without an account."""
        term = " ".join(term.split())
        if not term:
            raise RefusedError("invalid", "searchText", "there is no word to search for")
        need_account(self._gateway)
        return term

    def _refused_search(self, words: str) -> RefusedError:
        """Return why the session refused: there is no login now, or the ration of searches is used up."""
        login = self._gateway.session
        return RefusedError("full" if login is None or login.state == "online" else "conflict", "", words)

    async def _searched(self, term: str, wait_s: float) -> tuple[FileMatches, int]:
        """Return ``(matches, hits)``. Raises `UnavailableError` when the search did not end."""
        term = self.checked_term(term)
        targets, hits = FileMatches(), 0
        loop = asyncio.get_running_loop()
        due_s = loop.time() + wait_s + SEARCH_GRACE_S
        with self._gateway.open_request() as pending:
            pending.post(
                SESSION, StartSearch(search=pending.number, term=term, wait_s=wait_s, reply_to=self._gateway.address)
            )
            while (reply := await pending.next(wait_s=due_s - loop.time())) is not None:
                if isinstance(reply, SearchHit):
                    targets.add(reply)
                    hits += 1
                elif isinstance(reply, SearchEnded):
                    if reply.refused:
                        raise self._refused_search(reply.refused)
                    return targets, hits
        raise UnavailableError("the search did not end in time")
