"""One daemon, asked over HTTP. The home of httpx on this side; loaded only by commands that need it.

Blocking, for one thread. Answers are plain JSON values as `protocol/rest/` describes them; what comes from strangers
in them is made printable by whoever shows it.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx

from protocol.client.credentials import Access, is_here

ROOT: Final = "/api/v0/multisource"
ANSWER_S: Final = 15.0
CONNECT_S: Final = 5.0
PAGE: Final = 1000
PAGES_MAX: Final = 100
"""A list is followed so far."""
ORDER_ATTEMPTS: Final = 3
ID_CHARS: Final = 36

Kind = Literal["away", "access", "unknown", "refused"]
Params = Mapping[str, str | int | bool | list[str]]


class DaemonError(Exception):
    """There is no answer that helps. `detail` is one line for people, not yet printable.

    `kind`: ``away`` (nobody answers, or not now), ``access`` (the key is wrong or may not), ``unknown`` (no such job),
    ``refused`` (everything else that the daemon says no to).
    """

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind: Final = kind
        self.detail: Final = detail


class Daemon:
    """Holds connections until it is left."""

    def __init__(self, access: Access, *, answer_s: float = ANSWER_S) -> None:
        self.access: Final = access
        self._answer_s: Final = answer_s
        self._client: Final = client_for(access, answer_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
    ) -> Any:
        """The JSON value of the answer. `wait_s`: so much longer than usual it may take. Raises `DaemonError`."""
        return self._asked(method, path, params=params, body=body, headers=headers, wait_s=wait_s)[0]

    def order(self, path: str, body: Any) -> Any:
        """Make a job, once, also when an answer is lost on the way."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        for attempt in range(1, ORDER_ATTEMPTS + 1):
            try:
                return self.ask("POST", f"{ROOT}{path}", body=body, headers=headers)
            except DaemonError as error:
                if error.kind != "away" or attempt == ORDER_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def job(self, id: str, *, drawn: bool = True) -> Any:
        """One job with its sources; `drawn`: and its chunk map."""
        return self.ask("GET", f"{ROOT}/jobs/{id}", params={"chunkMap": drawn})

    def jobs(self, params: Params, *, most: int) -> tuple[list[Any], int]:
        """``(the first jobs, how many there are)``."""
        found: list[Any] = []
        for page in range(PAGES_MAX):
            limit = min(PAGE, most - len(found))
            rows, total = self._page(f"{ROOT}/jobs", {**params, "offset": page * PAGE, "limit": limit})
            found += rows
            if len(rows) < limit or len(found) >= most:
                return found, total
        return found, total

    def find_job(self, word: str) -> str:
        """The id that begins with this. Raises `DaemonError` where there is none, or more than one."""
        start = word.lower()
        if not start or set(start) - set("0123456789abcdef-"):
            raise DaemonError("unknown", f"no job has an id that begins with {word[: ID_CHARS + 1]}")
        if len(start) == ID_CHARS:
            return start
        found = [row["id"] for row in self._all_jobs() if row["id"].startswith(start)]
        if not found:
            raise DaemonError("unknown", f"no job has an id that begins with {word[: ID_CHARS + 1]}")
        if len(found) > 1:
            raise DaemonError("unknown", f"{len(found)} jobs have an id that begins with {start}: write more of it")
        return str(found[0])

    def _all_jobs(self) -> Iterator[Any]:
        for page in range(PAGES_MAX):
            rows, _ = self._page(f"{ROOT}/jobs", {"removed": True, "offset": page * PAGE, "limit": PAGE})
            yield from rows
            if len(rows) < PAGE:
                return

    def _page(self, path: str, params: Params) -> tuple[list[Any], int]:
        rows, headers = self._asked("GET", path, params=params)
        total = headers.get("X-Total-Count", "")
        return rows, int(total) if total.isdigit() else len(rows)

    def _asked(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
    ) -> tuple[Any, httpx.Headers]:
        timeout = httpx.Timeout(self._answer_s + wait_s, connect=min(CONNECT_S, self._answer_s))
        url = self.access.url + path
        try:
            response = self._client.request(method, url, params=params, json=body, headers=headers, timeout=timeout)
        except httpx.HTTPError as error:
            raise DaemonError("away", _no_answer(self.access, error)) from None
        raise_refusal(self.access, response.status_code, response.content)
        try:
            return response.json(), response.headers
        except ValueError:
            raise DaemonError("away", f"what answers at {self.access.url} is no Shoal daemon") from None


def client_for(access: Access, answer_s: float) -> httpx.Client:
    """Proxies are for daemons elsewhere; redirects, which would carry the key away, for nobody."""
    headers = {"Accept": "application/json"} | ({"X-API-Key": access.key} if access.key else {})
    return httpx.Client(headers=headers, timeout=answer_s, follow_redirects=False, trust_env=not is_here(access.url))


def raise_refusal(access: Access, status: int, content: bytes) -> None:
    """Nothing for an answer that is one; else a `DaemonError`."""
    if 200 <= status < 300:
        return
    told = _refusal(content)
    if told is None:
        raise DaemonError("away", f"what answers at {access.url} is no Shoal daemon (HTTP status {status})")
    if status == 401:
        key = f"the key from {access.key_from}" if access.key else "anybody without a key"
        hint = "" if access.key else "; set SHOAL_API_KEY or give --api-key-file"
        raise DaemonError("access", f"the daemon at {access.url} does not let in {key}{hint}")
    field, detail = told
    if status == 403 and not field:
        raise DaemonError("access", f"the daemon at {access.url} forbids it: {detail}")
    if status == 503:
        raise DaemonError("away", f"the daemon at {access.url} cannot answer now: {detail}")
    named = not field or detail.startswith(field) or status in (404, 409)
    raise DaemonError("unknown" if status == 404 else "refused", detail if named else f"{field}: {detail}")


def _refusal(content: bytes) -> tuple[str, str] | None:
    """``(member that is wrong, words)`` of a daemon's refusal; None: this is none."""
    try:
        error = json.loads(content)["error"]
        return str(error["field"]), str(error["detail"])
    except (ValueError, TypeError, KeyError):
        return None


def _no_answer(access: Access, error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectError):
        return f"no daemon at {access.url} ({_reason(error)}); start one: run.py daemon"
    if isinstance(error, httpx.TimeoutException):
        return f"the daemon at {access.url} does not answer"
    return f"the connection to the daemon at {access.url} broke"


def _reason(error: BaseException) -> str:
    """What the system said, which httpx wraps twice."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror[:1].lower() + inner.strerror[1:]
        inner = inner.__cause__ or inner.__context__
    return "cannot be reached"
