"""Whatever is wrong in a request, on every route that the document names, is a 4xx that says where.

The wrong requests are made of the document: a new route is tried as soon as it is in there.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from protocol.http_api.errors import NATIVE
from protocol.http_api.gateway import GatewayInbox
from protocol.messages import (
    Message,
    RequestRefused,
)
from tests.protocol.http_api.document import OPERATIONS, example_of, json_body, resolved
from tests.protocol.http_api.rows import ID
from tests.protocol.http_api.serving import Api, serving

HUGE: Final = 10**400
_KINDS: Final = {int: "integer", str: "string", bool: "boolean", dict: "object"}


def knows_nothing(_to: str, message: Message) -> Iterable[GatewayInbox]:
    request = getattr(message, "request", 0)
    return [RequestRefused(request=request, kind="unknown", field="id", detail="there is no such job")]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serving(knows_nothing) as api:
        yield api


class Request:
    """A request that the document allows, to be spoilt in one place."""

    def __init__(self, path: str, method: str, operation: dict[str, Any]) -> None:
        self.path, self.method, self.operation = path, method, operation
        parameters = operation.get("parameters", ())
        self.places: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
        for one in parameters:
            if one.get("required"):
                self.places[one["in"]][one["name"]] = example_of(one["schema"])
        schema = json_body(operation)
        self.body = None if schema is None else example_of(schema)

    def send(self, api: Api, *, place: str = "", name: str = "", value: Any = None, body: Any = None) -> httpx.Response:
        parts = {kind: dict(values) for kind, values in self.places.items()}
        if place:
            parts[place][name] = value
        path = self.path.format(**{key: quote(str(part), safe="") for key, part in parts["path"].items()})
        body = self.body if body is None else body
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content is not None else {}
        headers |= {key: str(part) for key, part in parts["header"].items()}
        query = {key: part for key, part in parts["query"].items() if part is not None}
        return api.client.request(self.method, path, params=query, headers=headers, content=content)


def spoilt(schema: dict[str, Any]) -> Iterator[Any]:
    """Values that this schema refuses: of another type, too long, too large, too small, none of those it names."""
    kinds = kinds_of(schema)
    wrong: tuple[Any, ...] = (7, "seven", True, {})
    yield next(value for value in wrong if _KINDS[type(value)] not in kinds)
    for one in choices_of(schema):
        match one.get("type"):
            case "integer" | "number":
                yield one.get("maximum", HUGE) + 1
                yield HUGE
                yield one.get("minimum", 0) - 1
            case "string" if "enum" in one:
                yield "none of these"
            case "string":
                yield "x" * (one["maxLength"] + 1)
                if one.get("minLength") or one.get("pattern"):
                    yield ""
            case "array" if "maxItems" in one:
                yield [example_of(one["items"])] * (one["maxItems"] + 1)
                if one.get("minItems"):
                    yield []


def choices_of(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What the schema is one of; only itself when it gives no choice."""
    schema = resolved(schema)
    return [resolved(one) for word in ("anyOf", "oneOf") for one in schema.get(word, ())] or [schema]


def kinds_of(schema: dict[str, Any]) -> set[str]:
    kinds = {one.get("type", "") for one in choices_of(schema)}
    return kinds | ({"integer"} if "number" in kinds else set())


def complain(request: Request, response: httpx.Response, field: str, what: str) -> list[str]:
    """What is wrong with this answer to a request that was wrong in `field`."""
    where = f"{request.method.upper()} {request.path} with {what}: {response.status_code} {response.text[:200]}"
    if not 400 <= response.status_code < 500:
        return [f"{where}: not a 4xx"]
    try:
        shown = response.json()
    except ValueError:
        return [f"{where}: no JSON"]
    if request.path.startswith(NATIVE):
        named = str(shown["error"]["field"])
        right = field.lower() in named.lower() and shown["error"]["detail"]
    else:
        right = isinstance(shown, str) and field.lower() in shown.lower()
    return [] if right else [f"{where}: does not name {field}"]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_a_wrong_parameter_is_named(api: Api, path: str, method: str, operation: dict[str, Any]) -> None:
    request = Request(path, method, operation)
    wrong: list[str] = []
    for one in operation.get("parameters", ()):
        name, place = one["name"], one["in"]
        if one.get("required") and place != "path":
            wrong += complain(request, request.send(api, place=place, name=name), name, f"no {name}")
        for value in spoilt(one["schema"]):
            if value == "" and place == "path":
                continue
            if isinstance(value, int) and "string" in kinds_of(one["schema"]):
                continue  # figures are text there
            response = request.send(api, place=place, name=name, value=value)
            if place == "path" and response.status_code == 404:
                continue  # whatever is no possible id is not there
            wrong += complain(request, response, name, f"{name}={str(value)[:50]}")
    assert not wrong, "\n".join(wrong)


WITH_BODY: Final = [one for one in OPERATIONS if "requestBody" in str(one.values[2])]


@pytest.mark.parametrize(("path", "method", "operation"), WITH_BODY)
def test_a_wrong_member_is_named(api: Api, path: str, method: str, operation: dict[str, Any]) -> None:
    request = Request(path, method, operation)
    schema = resolved(json_body(operation) or {})
    wrap = schema.get("type") == "array"
    schema = resolved(schema["items"]) if wrap else schema
    good: dict[str, Any] = example_of(schema)
    wrong: list[str] = []

    def tried(body: dict[str, Any], field: str, what: str) -> None:
        wrong.extend(complain(request, request.send(api, body=[body] if wrap else body), field, what))

    for name in schema.get("required", ()):
        tried({key: value for key, value in good.items() if key != name}, name, f"no {name}")
    for name, inside in schema.get("properties", {}).items():
        for value in spoilt(inside):
            tried({**good, name: value}, name, f"{name}={str(value)[:50]}")
    if schema.get("additionalProperties") is False:
        tried({**good, "cheksum": "x"}, "cheksum", "an unknown member")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("path", "method", "operation"), WITH_BODY)
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nonsense", b'"text"', b"[[]]", b"7", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5000, b"\x00"],
    ids=lambda body: repr(body[:10]),
)
def test_a_body_that_is_none_is_refused(
    api: Api, path: str, method: str, operation: dict[str, Any], body: bytes
) -> None:
    response = Request(path, method, operation).send(api, body=body)
    assert 400 <= response.status_code < 500, response.text
    response.json()


@pytest.mark.parametrize(("path", "method", "operation"), [one for one in OPERATIONS if "{id}" in str(one.values[0])])
def test_an_unknown_job_is_not_found(api: Api, path: str, method: str, operation: dict[str, Any]) -> None:
    request = Request(path, method, operation)
    response = request.send(api, place="path", name="id", value=ID)
    assert response.status_code == 404
    malformed = request.send(api, place="path", name="id", value="no-such-id")
    assert malformed.status_code in (400, 404)
    malformed.json()
