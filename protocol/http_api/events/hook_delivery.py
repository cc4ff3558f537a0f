"""Delivery of one event to a hook: an HTTP POST to a webhook, or one run of a script."""

import asyncio
import contextlib
import hashlib
import hmac
import os
import signal
import time
from typing import Final

import httpx

from protocol.config.settings import Script, Webhook

SIGNATURE: Final = "X-Shoal-Signature"
"""``t=SECONDS,sha256=HEX``: HMAC-SHA256 with the hook's secret over ``SECONDS.BODY``. A receiver that refuses old
seconds is safe against replay."""
REPLY_BYTES_MAX: Final = 64 * 1024
OUTPUT_BYTES_MAX: Final = 4096
"""How much of a failed script's output goes into the log."""
_SECRET: Final = ("SHOAL_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")


class NotDelivered(Exception):  # noqa: N818
    """A webhook did not answer with 2xx, or a script failed.

    The text is for the log: no address, no secret. `final`: a repetition would bring the same.
    """

    def __init__(self, detail: str, *, final: bool = False) -> None:
        super().__init__(detail)
        self.final = final


def signed(secret: str, body: bytes, *, now_s: int) -> str:
    """Return the value of the `SIGNATURE` header."""
    mac = hmac.new(secret.encode(), b"%d.%s" % (now_s, body), hashlib.sha256)
    return f"t={now_s},sha256={mac.hexdigest()}"


async def post_webhook(client: httpx.AsyncClient, hook: Webhook, *, serial: int, kind: str, body: bytes) -> None:
    """POST it once; redirects are not followed. Raises `NotDelivered`."""
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
            await _discard(reply)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDelivered(type(error).__name__) from None
    if not reply.is_success:
        # Time-outs and too many requests pass by; other refusals of the client's side stay.
        final = reply.is_client_error and reply.status_code not in (408, 425, 429)
        raise NotDelivered(f"HTTP {reply.status_code}", final=final)


async def _discard(reply: httpx.Response) -> None:
    """Read a short reply to its end, which leaves the connection usable."""
    read = 0
    async for part in reply.aiter_raw():
        read += len(part)
        if read > REPLY_BYTES_MAX:
            return


def environment(kind: str, body: bytes) -> dict[str, str]:
    """Return our environment without what is secret or only ours, and the event: also under the name slskd uses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SECRET)}
    return {**kept, "SHOAL_EVENT": kind, "SHOAL_DATA": body.decode(), "SLSKD_SCRIPT_DATA": body.decode()}


async def run_script(script: Script, *, kind: str, body: bytes) -> None:
    """Run it once and wait for its end, at most its `timeout_s`; nothing that it started survives that.

    Raises `NotDelivered`.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *script.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment(kind, body),
            start_new_session=True,  # a process group, to be killed as one
        )
    except (OSError, ValueError) as error:
        raise NotDelivered(f"does not start: {error}") from None
    try:
        async with asyncio.timeout(script.timeout_s):
            output = await _communicate(process, body)
            code = await process.wait()
    except TimeoutError:
        raise NotDelivered(f"killed after {script.timeout_s:.0f} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code:
        raise NotDelivered(f"ended with code {code}: {output.decode(errors='replace').strip()}")


async def _communicate(process: asyncio.subprocess.Process, body: bytes) -> bytes:
    """Write the event to its input; return the beginning of its output."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read
        process.stdin.write(body + b"\n")
        await process.stdin.drain()
    process.stdin.close()
    output = bytearray()
    while part := await process.stdout.read(65536):
        output += part[: OUTPUT_BYTES_MAX - len(output)]
    return bytes(output)
