"""OpenAPI document: the errors, headers and security that all routes share."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field

from protocol.http_api.errors import NATIVE
from protocol.http_api.middleware.authorization import is_anonymous

ERRORS: Final = {
    400: "Something in the request is wrong; field says what.",
    401: "No valid key or session came with the request.",
    403: "The key or session may not do this, or the request came from a foreign page, host or network.",
    404: "There is no such thing.",
    405: "There is no such method here.",
    408: "The body takes too long.",
    409: "Not possible in this state, or there already.",
    413: "The body is too large.",
    429: "Too much at once; try again after the seconds of Retry-After.",
    431: "The headers are too large.",
    500: "Our fault. It is in the log.",
    503: "A process of the daemon is away, or does not answer; try again after the seconds of Retry-After.",
}
ANYWHERE: Final = (400, 401, 403, 408, 413, 429, 431, 500, 503)
"""Errors that any request may be answered with."""
TOTAL: Final[dict[str, Any]] = {
    "X-Total-Count": {
        "description": "How many rows there are on all pages together.",
        "schema": {"type": "integer", "minimum": 0},
    }
}
LOCATION: Final[dict[str, Any]] = {
    "Location": {"description": "Path of the job.", "schema": {"type": "string", "maxLength": 8000}}
}
RETRY: Final[dict[str, Any]] = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
}
ABOUT: Final = """Downloads one file from many sources at once: Soulseek users and HTTP(S) mirrors.

Reading needs a key or session of the role ReadOnly, everything else ReadWrite, what concerns the daemon itself
Administrator. Numbers are bytes, seconds and bytes a second. Below /api/v0/multisource and /api/v0/events/ an error is
an object that names the member or parameter that is wrong, and members of a body that are not known are refused;
elsewhere the API is the one that slskd's clients know: an error is a bare string, and what is not known is passed over.
"""
SCHEMES: Final[dict[str, Any]] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key of the configuration."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "A session's token, or an API key."},
}


class ErrorDetail(BaseModel):
    """Reason that a request failed."""

    kind: str = Field(
        description=(
            "invalid, unknown, conflict, full, unavailable, unauthorized, forbidden, too large, head too large, not "
            "allowed or fault."
        )
    )
    field: str = Field(
        description="The member or parameter that is wrong, as it was written (sources.1.url); empty: none of them."
    )
    detail: str = Field(description="One line for people.")


class ErrorBody(BaseModel):
    """The answer to a request that failed; nothing was changed then."""

    error: ErrorDetail = Field(description="What went wrong.")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a native route: these errors beside those that any route may answer with."""
    return {status: {"model": ErrorBody, "description": ERRORS[status]} for status in statuses}


def add_route(
    routes: APIRouter,
    method: str,
    path: str,
    handler: Callable[..., Any],
    *,
    summary: str,
    model: Any,
    responses: dict[int | str, dict[str, Any]],
) -> None:
    """Add one route of a table; its operation id is the handler's name."""
    routes.add_api_route(
        path,
        handler,
        methods=[method],
        summary=summary,
        response_model=model,
        responses=responses,
        operation_id=handler.__name__,
    )


def describe(app: FastAPI) -> None:
    """Complete the document with what middleware does (its errors, authorization), and remove the framework's 422.

    Here such errors are 400.
    """
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(made())
        return made()

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (ErrorDetail, ErrorBody):
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[model.__name__].pop("$defs", None)
    components["securitySchemes"] = SCHEMES
    document["info"]["description"] = ABOUT
    document["security"] = [{name: []} for name in SCHEMES]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _complete_operation(path, method.upper(), operation)


def _complete_operation(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    for status in ANYWHERE:
        responses.setdefault(str(status), _error(path, status))
    for status, response in responses.items():
        if status in ("429", "503"):
            response.setdefault("headers", RETRY)
        if response.get("description") == "Successful Response":
            response["description"] = f"{operation.get('summary', '')}."
    if is_anonymous(method, path):
        operation["security"] = []
    for parameter in operation.get("parameters", ()):
        parameter["schema"].pop("title", None)


def _error(path: str, status: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": "#/components/schemas/ErrorBody"}
    if not path.startswith(NATIVE):
        schema = {"type": "string", "description": "One line for people."}
    return {"description": ERRORS[status], "content": {"application/json": {"schema": schema}}}
