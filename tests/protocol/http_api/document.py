"""The OpenAPI document, read for tests: its routes, the schemas inside a schema, requests made of its examples."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from protocol.http_api.app import build_app
from protocol.http_api.gateway import Gateway
from tests.protocol.http_api.serving import open_settings

DOCUMENT: Final[dict[str, Any]] = build_app(
    Gateway(open_settings(), address="api/gateway", post=lambda _to, _message: None)
).openapi()
OPERATIONS: Final = [
    pytest.param(path, method, operation, id=f"{method.upper()} {path}")
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference names, with what stands beside the reference."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].removeprefix("#/components/schemas/")
    return {**resolved(DOCUMENT["components"]["schemas"][name]), **{k: v for k, v in schema.items() if k != "$ref"}}


def parts(
    where: str, schema: dict[str, Any], seen: frozenset[str] = frozenset()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside this one, with a name for people, itself first."""
    name = schema.get("$ref", "")
    if name in seen:
        return
    seen = seen | {name} if name else seen
    schema = resolved(schema)
    yield where, schema
    for member, inside in schema.get("properties", {}).items():
        yield from parts(f"{where}.{member}", inside, seen)
    for word in ("anyOf", "oneOf", "allOf"):
        for inside in schema.get(word, ()):
            yield from parts(where, inside, seen)
    if isinstance(schema.get("items"), dict):
        yield from parts(f"{where}[]", schema["items"], seen)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from parts(f"{where}{{}}", schema["additionalProperties"], seen)


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield kind, content["schema"]


def example_of(schema: dict[str, Any]) -> Any:
    """A value that this schema takes: its own example, else made of its required members."""
    schema = resolved(schema)
    if schema.get("examples"):
        return schema["examples"][0]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return example_of(schema[word][0])
    match schema.get("type"):
        case "object":
            return {name: example_of(schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [example_of(schema["items"])]
        case "boolean":
            return False
        case "integer":
            return int(schema.get("minimum", 0))
        case "string" if not {"enum", "pattern", "format"} & schema.keys():
            return "x" * max(1, schema.get("minLength", 0))
    assert "enum" in schema, f"no example of {schema}"
    return schema["enum"][0]


def json_body(operation: dict[str, Any]) -> dict[str, Any] | None:
    return next((schema for kind, schema in bodies(operation) if kind == "application/json"), None)
