"""Blocking HTTP client of one daemon.

Answers are plain JSON values as `protocol.http_api` describes them; texts in them that come from strangers are made
printable where they are shown. Import it only in commands that need it: httpx takes long to load.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import httpx

from protocol.client.credentials import Access, is_here
from protocol.model.value import Closing

ROOT: Final = "/api/v0/multisource"
ANSWER_S: Final = 15.0
CONNECT_S: Final = 5.0
PAGE: Final = 1000
PAGES_MAX: Final = 100
"""Pages read of one list at most."""
ORDER_ATTEMPTS: Final = 3
ID_CHARS: Final = 36

Kind = Literal["away", "access", "unknown", "refused"]
Params = Mapping[str, str | int | bool | list[str]]


class DaemonError(Exception):
    """A request that failed. `detail` is one line for people, not yet printable.

    `kind`: ``away`` (no answer, or not now), ``access`` (the key is wrong or may not), ``unknown`` (no such job),
    ``refused`` (everything else). `field`: the member of the request that is wrong, empty: none is named.
    """

    def __init__(self, kind: Kind, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.kind: Final = kind
        self.field: Final = field
        self.detail: Final = detail


class Daemon(Closing):
    """An HTTP session with one daemon; a context manager that closes its connections."""

    def __init__(self, access: Access, *, answer_s: float = ANSWER_S) -> None:
        self.access: Final = access
        self._answer_s: Final = answer_s
        self._client: Final = client_for(access, answer_s)

    def close(self) -> None:
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
        """Return the JSON value of the answer. `wait_s`: added to the usual time-out. Raises `DaemonError`."""
        return self._request(method, path, params=params, body=body, headers=headers, wait_s=wait_s)[0]

    def order(self, path: str, body: Any, *, key: str = "") -> Any:
        """Create a job, exactly once even when an answer is lost on the way. The same `key` names the same job."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        for attempt in range(1, ORDER_ATTEMPTS + 1):
            try:
                return self.ask("POST", f"{ROOT}{path}", body=body, headers=headers)
            except DaemonError as error:
                if error.kind != "away" or attempt == ORDER_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def job(self, id: str, *, drawn: bool = True) -> Any:
        """Return one job with its sources; `drawn`: and its chunk map."""
        return self.ask("GET", f"{ROOT}/jobs/{id}", params={"chunkMap": drawn})

    def jobs(self, params: Params, *, most: int) -> tuple[list[Any], int]:
        """Return ``(the first jobs, number of jobs)``."""
        found: list[Any] = []
        for page in range(PAGES_MAX):
            limit = min(PAGE, most - len(found))
            rows, total = self._page(f"{ROOT}/jobs", {**params, "offset": page * PAGE, "limit": limit})
            found += rows
            if len(rows) < limit or len(found) >= most:
                return found, total
        return found, total

    def find_job(self, word: str) -> str:
        """Return the job id with this prefix. Raises `DaemonError` where there is none, or more than one."""
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
        rows, headers = self._request("GET", path, params=params)
        total = headers.get("X-Total-Count", "")
        return rows, int(total) if total.isdigit() else len(rows)

    def _request(
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
        if not response.content and response.status_code == 204:
            return None, response.headers
        try:
            return response.json(), response.headers
        except ValueError:
            raise DaemonError("away", f"what answers at {self.access.url} is no Shoal daemon") from None


def client_for(access: Access, answer_s: float) -> httpx.Client:
    """Return a client with the key. Proxies serve remote daemons only; redirects, which would leak the key, none."""
    headers = {"Accept": "application/json"} | ({"X-API-Key": access.key} if access.key else {})
    return httpx.Client(headers=headers, timeout=answer_s, follow_redirects=False, trust_env=not is_here(access.url))


def raise_refusal(access: Access, status: int, content: bytes) -> None:
    """Raise the `DaemonError` of an answer that is not 2xx."""
    if 200 <= status < 300:
        return
    refusal = _refusal(content)
    if refusal is None:
        raise DaemonError("away", f"what answers at {access.url} is no Shoal daemon (HTTP status {status})")
    if status == 401:
        key = f"the key from {access.key_from}" if access.key else "anybody without a key"
        hint = "" if access.key else "; set SHOAL_API_KEY or give --api-key-file"
        raise DaemonError("access", f"the daemon at {access.url} does not let in {key}{hint}")
    field, detail = refusal
    if status == 403 and not field:
        raise DaemonError("access", f"the daemon at {access.url} forbids it: {detail}")
    if status == 503:
        raise DaemonError("away", f"the daemon at {access.url} cannot answer now: {detail}")
    named = not field or detail.startswith(field) or status in (404, 409)
    raise DaemonError("unknown" if status == 404 else "refused", detail if named else f"{field}: {detail}", field)


def _refusal(content: bytes) -> tuple[str, str] | None:
    """Return ``(wrong member, detail)`` of a daemon's refusal; None: this is none."""
    try:
        error = json.loads(content)["error"]
        return str(error["field"]), str(error["detail"])
    except (ValueError, TypeError, KeyError):
        return None


def _no_answer(access: Access, error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectError):
        return f"no daemon at {access.url} ({_reason(error)}); start one: shoal daemon"
    if isinstance(error, httpx.TimeoutException):
        return f"the daemon at {access.url} does not answer"
    return f"the connection to the daemon at {access.url} broke"


def _reason(error: BaseException) -> str:
    """Return the operating system's message, which httpx wraps twice."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror[:1].lower() + inner.strerror[1:]
        inner = inner.__cause__ or inner.__context__
    return "cannot be reached"
