"""Store of a fleet node: the destination's calls in threads, with an address for each part.

A node that has no key of the bucket asks one that has, by the bus: it gets presigned addresses that hold for minutes,
and has uploads begun and completed for it. The bytes go from each node straight to the destination. Where one node
keeps the folder, all others ask that one, and it reads their parts from them.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from actors.core.fleet import vocabulary as v
from actors.fleet.bus import Bus, BusFault
from actors.fleet.destination import Destination, Piece, StoreError
from actors.fleet.objects import Bucket, put, read_back
from actors.fleet.pull import KeptFolder, PartServer, keeper_of
from actors.fleet.settings import StoreAccess
from actors.fleet.shared_folder import SharedFolder
from protocol.model.fleet.rows import PartRow
from storage.digests import Checksum

THREADS: Final = 8
"""Calls of the destination at a time: parts that are sent, and what is asked beside them."""
_MULTIPART: Final = re.compile(r"[0-9a-f]{32}-[0-9]+")
LENT_S_MAX: Final = 90.0
PULL_S_MAX: Final = 3600.0
"""How long the keeper may take to read one part, and for how long it may read nothing of it: it may have died."""
QUIET_S_MAX: Final = 60.0
LOOK_S: Final = 1.0
_CALLS: Final = ("create", "address", "complete", "seen", "reading", "remove", "abort", "parts", "pull")


def destination_of(
    address: str,
    *,
    endpoint: str = "",
    region: str = "",
    key_id: str = "",
    secret: str = "",
    parts: PartServer | None = None,
) -> Destination:
    """Return the destination of this address: ``s3://bucket/prefix``, a folder, or ``node://NAME/folder`` of this node.

    `parts`: where the last one offers its finished files.
    """
    keeper, folder = keeper_of(address)
    if keeper and parts is not None:
        return KeptFolder(folder, parts)
    if address.startswith("s3://"):
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        return Bucket(bucket, prefix.strip("/"), endpoint=endpoint, region=region, key_id=key_id, secret=secret)
    return SharedFolder(address)


class Store:
    """Used in the event loop's thread. `bus` returns the connection, None without one."""

    def __init__(self, access: StoreAccess, subject: str, bus: Callable[[], Bus | None]) -> None:
        self._access = access
        self._subject = subject
        self._bus = bus
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._own: Destination | None = None
        keeper, _ = keeper_of(access.address)
        self._is_lent = access.lent or (keeper != access.node and bool(keeper))
        self._parts = PartServer(access.parts_host, access.parts_port, towards=access.broker) if keeper else None

    def close(self) -> None:
        """Let go of the threads; what they are sending is of no use any more."""
        if self._parts is not None:
            self._parts.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def warm(self) -> None:
        """Load what the destination's calls need: half a second, which else the first order waits for."""
        if not self._is_lent:
            await self._in_thread(self._destination)

    async def call(self, name: str, *arguments: Any, wait_s: float = LENT_S_MAX) -> Any:
        """Make one call of `Destination`, here or by a node that has the key or the folder. Raises `StoreError`."""
        if not self._is_lent:
            return await self._in_thread(lambda: getattr(self._destination(), name)(*arguments))
        bus = self._bus()
        if bus is None:
            raise StoreError(v.StoreFault.UNREACHABLE, f"no broker is connected, and this node has not {self._lacks}")
        listed = [[_plain(part) for part in each] if isinstance(each, tuple) else each for each in arguments]
        try:
            answer = await bus.request(self._subject, json.dumps([name, *listed]).encode(), wait_s=wait_s)
            said = json.loads(answer)
        except (BusFault, ValueError) as fault:
            what = f"no node answers that has {self._lacks}: {fault}"
            raise StoreError(v.StoreFault.UNREACHABLE, what) from None
        if "fault" in said:
            raise StoreError(v.StoreFault(said["fault"]), said["detail"])
        return said["result"]

    async def put(self, name: str, upload: str, part: int, piece: Piece) -> str:
        """Store a part; return its ETag. Raises `StoreError`."""
        if self._is_lent and self._parts is not None:
            return await self._pulled(self._parts, name, upload, part, piece)
        address = await self.call("address", name, upload, part, piece.md5)
        etag: str = await self._in_thread(lambda: put(address, piece))
        return etag

    async def _pulled(self, server: PartServer, name: str, upload: str, part: int, piece: Piece) -> str:
        """Offer a part to the keeper and have it read there."""
        offered = await self._in_thread(lambda: server.offer(piece.path, piece.offset, piece.length))
        asked = (name, upload, part, offered, piece.at, piece.length, piece.md5)
        pulled = asyncio.ensure_future(self.call("pull", *asked, wait_s=PULL_S_MAX))
        try:
            while not (await asyncio.wait([pulled], timeout=LOOK_S))[0]:
                if server.quiet_s(offered) > QUIET_S_MAX:
                    raise StoreError(v.StoreFault.UNREACHABLE, "the node that keeps the folder reads no parts")
            etag: str = pulled.result()
        finally:
            pulled.cancel()
            server.withdraw(offered)
        return etag

    async def read_back(self, name: str, size_bytes: int, part_bytes: int, algorithm: str) -> tuple[str, str]:
        """Read the finished file; return its multipart ETag and its digest. Raises `StoreError`."""
        address = await self.call("reading", name)
        found: tuple[str, str] = await self._in_thread(
            lambda: read_back(address, size_bytes, part_bytes=part_bytes, algorithm=algorithm)
        )
        return found

    async def lend(self, request: bytes) -> bytes:
        """Answer a node that has no key."""
        try:
            name, *arguments = json.loads(request)
            if name not in _CALLS:
                raise ValueError(name)
            if name == "complete":
                arguments[2] = tuple(PartRow(**each) for each in arguments[2])
            result = await self.call(name, *arguments)
        except StoreError as error:
            return json.dumps({"fault": int(error.fault), "detail": str(error)}).encode()
        except (ValueError, TypeError) as error:
            return json.dumps({"fault": int(v.StoreFault.SERVER), "detail": f"no such call: {error}"}).encode()
        return json.dumps({"result": result}).encode()

    @property
    def lends(self) -> bool:
        """Whether this node can serve those without a key, or without the folder that it keeps."""
        return not self._is_lent and (self._parts is not None or self._access.address.startswith("s3://"))

    @property
    def _lacks(self) -> str:
        return "the folder" if self._parts is not None else "the key of the bucket"

    def _destination(self) -> Destination:
        if self._own is None:
            access = self._access
            self._own = destination_of(
                access.address,
                endpoint=access.endpoint,
                region=access.region,
                key_id=access.key_id,
                secret=access.secret,
                parts=self._parts,
            )
        return self._own

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _plain(part: PartRow) -> dict[str, Any]:
    return {name: getattr(part, name) for name in part.__struct_fields__}


async def performed(store: Store, command: v.Command, name: str) -> v.Event | None:
    """Perform a command that is about the destination; return the event that answers it.

    `name`: of the finished file, for an upload that is aborted.
    """
    doing: Awaitable[v.Event | None]
    match command:
        case v.CreateUpload():
            doing = _created(store, command)
        case v.CompleteUpload():
            doing = _completed(store, command)
        case v.ListUpload():
            doing = _listed(store, command)
        case v.CheckObject():
            doing = _seen(store, command)
        case v.AbortUpload():
            doing = _aborted(store, command, name)
        case _:
            raise TypeError(type(command).__name__)
    try:
        return await doing
    except StoreError as error:
        if isinstance(command, v.AbortUpload):
            return None
        return v.UploadFailed(job=command.job, epoch=command.epoch, fault=error.fault, detail=str(error))


async def _created(store: Store, command: v.CreateUpload) -> v.Event:
    upload = await store.call("create", command.destination, command.size_bytes)
    return v.UploadCreated(job=command.job, epoch=command.epoch, upload=upload)


async def _completed(store: Store, command: v.CompleteUpload) -> v.Event:
    etag = await store.call("complete", command.destination, command.upload, command.parts)
    if command.checksum:
        _, size = await store.call("seen", command.destination)
        await _compared(store, command.destination, size, etag, command.checksum)
    return v.UploadCompleted(job=command.job, epoch=command.epoch, etag=etag)


async def _compared(store: Store, name: str, size_bytes: int, etag: str, checksum: str) -> None:
    """Read the finished file back and remove it where it is not what the order says: no node has all of it."""
    wanted = Checksum.parse(checksum)
    _, digest = await store.read_back(name, size_bytes, size_bytes or 1, wanted.algorithm)
    if digest != wanted.hex:
        await store.call("remove", name, etag)
        what = f"the whole file has {wanted.algorithm} {digest}, not {wanted.hex}; it was removed"
        raise StoreError(v.StoreFault.CONTENT, what)


async def _listed(store: Store, command: v.ListUpload) -> v.Event:
    found = await store.call("parts", command.destination, command.upload)
    parts: Sequence[tuple[int, str]] = () if found is None else [(part, etag) for part, etag in found]
    return v.UploadListed(job=command.job, epoch=command.epoch, parts=tuple(parts), known=found is not None)


async def _seen(store: Store, command: v.CheckObject) -> v.Event:
    found = await store.call("seen", command.destination)
    etag, size = found if found is not None else ("", -1)
    standing = etag
    if command.etag and etag and not _MULTIPART.fullmatch(etag):  # one by rules of its own: the bytes decide
        etag, _ = await store.read_back(command.destination, size, command.part_bytes, "")
    if command.checksum and etag and etag == command.etag:
        await _compared(store, command.destination, size, standing, command.checksum)
    return v.ObjectSeen(job=command.job, epoch=command.epoch, etag=etag, size_bytes=size)


async def _aborted(store: Store, command: v.AbortUpload, name: str) -> None:
    if name:
        await store.call("abort", name, command.upload)
