"""One run of a script hook: a program of the owner's, told of one event by its standard input and environment."""

import asyncio
import contextlib
import os
import signal
from typing import Final

from protocol.config.settings import Script

OUTPUT_BYTES_MAX: Final = 4096
"""So much of what it says goes into the log when it fails."""
_SECRET: Final = ("SHOAL_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")


class ScriptFailed(Exception):  # noqa: N818
    """It did not run, ended with another code than 0, or was killed for taking too long."""


def environment(kind: str, body: bytes) -> dict[str, str]:
    """Ours without what is secret or only ours, and the event twice: also under the name that slskd uses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SECRET)}
    return {**kept, "SHOAL_EVENT": kind, "SHOAL_DATA": body.decode(), "SLSKD_SCRIPT_DATA": body.decode()}


async def run(script: Script, *, kind: str, body: bytes) -> None:
    """Run it once and wait for its end, at most its `timeout_s`; nothing that it started survives that."""
    try:
        process = await asyncio.create_subprocess_exec(
            *script.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment(kind, body),
            start_new_session=True,  # a group of its own, to be ended as one
        )
    except (OSError, ValueError) as error:
        raise ScriptFailed(f"does not start: {error}") from None
    try:
        async with asyncio.timeout(script.timeout_s):
            said = await _spoken_with(process, body)
            code = await process.wait()
    except TimeoutError:
        raise ScriptFailed(f"killed after {script.timeout_s:.0f} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code:
        raise ScriptFailed(f"ended with code {code}: {said.decode(errors='replace').strip()}")


async def _spoken_with(process: asyncio.subprocess.Process, body: bytes) -> bytes:
    """Tell it, and hear it out; the beginning of what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not listen
        process.stdin.write(body + b"\n")
        await process.stdin.drain()
    process.stdin.close()
    said = bytearray()
    while part := await process.stdout.read(65536):
        said += part[: OUTPUT_BYTES_MAX - len(said)]
    return bytes(said)
