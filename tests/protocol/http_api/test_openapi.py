"""The OpenAPI document: valid, and nothing in it without a description or, where clients write, without a bound."""

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.protocol.http_api.document import DOCUMENT, OPERATIONS, bodies, parts
from tests.protocol.http_api.serving import serving


def members(where: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named member inside this schema."""
    for place, inside in parts(where, schema):
        for member, value in inside.get("properties", {}).items():
            yield f"{place}.{member}", value


def is_bounded(schema: dict[str, Any]) -> bool:
    match schema.get("type"):
        case "string":
            return bool({"maxLength", "enum", "const", "format"} & schema.keys())
        case "integer" | "number":
            return all({word, f"exclusive{word.title()}"} & schema.keys() for word in ("minimum", "maximum"))
        case "array":
            return "maxItems" in schema
        case "boolean" | "null" | "object":
            return True
    return any(word in schema for word in ("anyOf", "oneOf", "allOf", "enum", "const"))


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_the_document_is_served_where_it_is_promised() -> None:
    with serving() as api:
        assert api.client.get("/api/v0/openapi.json").json() == DOCUMENT


def test_names_of_operations_differ() -> None:
    names = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_everything_about_a_route_is_described(path: str, method: str, operation: dict[str, Any]) -> None:
    silent = [] if operation.get("summary") else ["the operation"]
    silent += [f"parameter {one['name']}" for one in operation.get("parameters", ()) if not one.get("description")]
    for kind, schema in bodies(operation):
        silent += [f"body {name}" for name, inside in members(kind, schema) if not inside.get("description")]
    for status, response in operation["responses"].items():
        if response["description"] in ("", "Successful Response"):
            silent.append(f"response {status}")
        silent += [
            f"{status} header {name}"
            for name, head in response.get("headers", {}).items()
            if not head.get("description")
        ]
        for content in response.get("content", {}).values():
            found = members(status, content.get("schema", {}))
            silent += [f"response {name}" for name, inside in found if not inside.get("description")]
    assert not silent, f"{method.upper()} {path}: no description of {', '.join(silent)}"


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_everything_that_a_client_writes_is_bounded(path: str, method: str, operation: dict[str, Any]) -> None:
    written = [(parameter["name"], parameter["schema"]) for parameter in operation.get("parameters", ())]
    written += list(bodies(operation))
    free = [name for where, schema in written for name, inside in parts(where, schema) if not is_bounded(inside)]
    assert not free, f"{method.upper()} {path}: no bound for {', '.join(free)}"


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_answer_says_what_it_looks_like(path: str, method: str, operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if status != "204":
            assert response.get("content"), f"{method.upper()} {path}: {status} has no content"
            for kind, content in response["content"].items():
                assert content.get("schema") or kind != "application/json", f"{method.upper()} {path}: {status} is open"
