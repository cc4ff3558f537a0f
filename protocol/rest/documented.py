"""What every route's description in the OpenAPI document has beside its own: errors, headers, who may use it."""

from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, Field

ERRORS: Final = {
    400: "Something in the request is wrong; field says what.",
    401: "No valid key or session came with the request.",
    403: "The key or session may not do this, or the request came from a foreign page, host or network.",
    404: "There is no such thing.",
    409: "Not possible in this state, or there already.",
    413: "The body is too large.",
    429: "Too much at once; try again after the seconds of Retry-After.",
    500: "Our fault. It is in the log.",
    503: "A process of the daemon is away, or does not answer; try again after the seconds of Retry-After.",
}
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


class Trouble(BaseModel):
    """What went wrong."""

    kind: str = Field(
        description=(
            "invalid, unknown, conflict, full, unavailable, unauthorized, forbidden, too large, not allowed or fault."
        )
    )
    field: str = Field(
        description="The member or parameter that is wrong, as it was written (sources.1.url); empty: none of them."
    )
    detail: str = Field(description="One line for people.")


class Problem(BaseModel):
    """The answer to a request that came to nothing; nothing was changed then."""

    error: Trouble = Field(description="What went wrong.")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its ``responses``: these and the ones that any route may have."""
    told: dict[int | str, dict[str, Any]] = {}
    for status in sorted({400, 401, 403, 413, 429, 500, 503, *statuses}):
        told[status] = {"model": Problem, "description": ERRORS[status]}
        if status in (429, 503):
            told[status]["headers"] = RETRY
    return told


def describe(app: FastAPI) -> None:
    """Take out what the framework promises in our name and we do not keep: errors are 400, never its 422."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            for item in document["paths"].values():
                for operation in item.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
        return app.openapi_schema or made()

    app.openapi = openapi  # type: ignore[method-assign]
