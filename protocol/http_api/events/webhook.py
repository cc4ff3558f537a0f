"""One delivery to a webhook."""

import hashlib
import hmac
import time
from typing import Final

import httpx

from protocol.config.settings import Webhook

SIGNATURE: Final = "X-Shoal-Signature"
"""``t=SECONDS,sha256=HEX``: HMAC-SHA256 with the hook's secret over ``SECONDS.BODY``. A receiver that refuses old
seconds cannot be told the same twice by somebody who listened."""
REPLY_BYTES_MAX: Final = 64 * 1024


class NotDelivered(Exception):  # noqa: N818
    """`detail` for the log: no address, no secret. `final`: the same again would bring the same."""

    def __init__(self, detail: str, *, final: bool = False) -> None:
        super().__init__(detail)
        self.final = final


def signed(secret: str, body: bytes, *, now_s: int) -> str:
    mac = hmac.new(secret.encode(), b"%d.%s" % (now_s, body), hashlib.sha256)
    return f"t={now_s},sha256={mac.hexdigest()}"


async def deliver(client: httpx.AsyncClient, hook: Webhook, *, serial: int, kind: str, body: bytes) -> None:
    """POST it once. Raises `NotDelivered` unless the answer is a 2xx; redirects are not followed."""
    headers = {
        **dict(hook.headers),
        "Content-Type": "application/json",
        "User-Agent": "shoal",
        "X-Shoal-Event": kind,
        "X-Shoal-Delivery": str(serial),
    }
    if hook.secret:
        headers[SIGNATURE] = signed(hook.secret, body, now_s=int(time.time()))
    try:
        async with client.stream("POST", hook.url, content=body, headers=headers, timeout=hook.timeout_s) as reply:
            await _drop(reply)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDelivered(type(error).__name__) from None
    if not reply.is_success:
        # Too many requests and time-outs pass by; whoever does not want it now will not want it later.
        final = reply.is_client_error and reply.status_code not in (408, 425, 429)
        raise NotDelivered(f"HTTP {reply.status_code}", final=final)


async def _drop(reply: httpx.Response) -> None:
    """Nobody reads what it says. A short answer leaves the connection usable."""
    read = 0
    async for part in reply.aiter_raw():
        read += len(part)
        if read > REPLY_BYTES_MAX:
            return
