"""The answers of a mirror with bad habits: pure functions from a request and a character."""

from __future__ import annotations

import base64

from actors.demo.mirrors.answers import (
    Answer,
    Headers,
    Request,
    partial_answer,
    range_answer,
    range_applies,
    text_answer,
    whole_answer,
)
from tests.http_mirrors.behavior import DEFAULT_ETAG, Character


def odd_answer(
    character: Character, request: Request, size: int, etag: str, *, number: int, redirect_url: str | None
) -> Answer:
    """Decide the answer to the mirror's request `number`, counted from 0."""
    refusal = _refusal(character, request, number, redirect_url)
    if refusal is not None:
        return refusal
    chosen_etag = etag if character.etag == DEFAULT_ETAG else character.etag
    headers = _description(character, chosen_etag)
    if character.gzip or character.chunked:
        return Answer(status=200, headers=[*headers, ("Transfer-Encoding", "chunked")], stop=size)
    if character.no_length:
        return Answer(status=200, headers=headers, stop=size)
    announced = size if character.size_lie is None else character.size_lie
    if not character.ranges:
        return whole_answer(announced, headers, size)
    headers.append(("Accept-Ranges", "bytes"))
    # RFC 9110 §13.1.5: a weak validator never satisfies If-Range.
    strong = None if chosen_etag is None or chosen_etag.startswith("W/") else chosen_etag
    if not range_applies(request, (strong, character.last_modified)):
        return whole_answer(announced, headers, size)
    return _spoilt(character, range_answer(request.headers["range"], announced, headers), announced, headers, size)


def _spoilt(character: Character, answer: Answer, announced: int, headers: Headers, size: int) -> Answer:
    """What the character makes of an honest answer to a range."""
    start, stop = answer.start, answer.stop
    if answer.status == 206 and character.refuse_offsets and start > 0:
        return text_answer(416, [("Content-Range", f"bytes */{announced}")])
    if answer.status == 206 and character.wrong_range and start + 1 < stop:
        answer = partial_answer(start + 1, stop, announced, headers)
    stop = max(answer.start, min(answer.stop, size))
    return Answer(status=answer.status, headers=answer.headers, start=answer.start, stop=stop, text=answer.text)


def _refusal(character: Character, request: Request, number: int, redirect_url: str | None) -> Answer | None:
    """The answer without content, when the character wants one."""
    again: Headers = [] if character.retry_after_s is None else [("Retry-After", str(character.retry_after_s))]
    if request.method not in ("GET", "HEAD"):
        return text_answer(405, [("Allow", "GET, HEAD")])
    if character.status is not None:
        return text_answer(character.status, again)
    if int((number + 1) * character.busy_share) > int(number * character.busy_share):
        return text_answer(503, again)
    if character.redirect_loop:
        return text_answer(302, [("Location", f"/again-{number + 1}")])
    if redirect_url is not None:
        return text_answer(302, [("Location", redirect_url)])
    if character.auth is not None:
        wanted = "Basic " + base64.b64encode(character.auth.encode()).decode()
        if request.headers.get("authorization") != wanted:
            return text_answer(401, [("WWW-Authenticate", 'Basic realm="box"')])
    return None


def _description(character: Character, etag: str | None) -> Headers:
    headers: Headers = [("Content-Type", character.content_type), *((name, value) for name, value in character.fields)]
    if etag is not None:
        headers.append(("ETag", etag))
    if character.last_modified is not None:
        headers.append(("Last-Modified", character.last_modified))
    if character.disposition is not None:
        headers.append(("Content-Disposition", character.disposition))
    if character.gzip:
        headers.append(("Content-Encoding", "gzip"))
    return headers
