"""NATS JetStream adapter: key-value buckets with revisions, a stream of orders, and subjects between nodes.

One connection, owned by one asyncio loop. It does not reconnect by itself: when it is lost, `Bus.lost` is set, and the
owner connects again and reads everything again, so that a gap in what was heard cannot stay unseen. Every failure is a
`BusFault` whose words say whose fault it is. No byte of a file goes this way.

Traps of the client library that are kept out here: a key's own time to live is dropped by an update, so only a bucket
has one; a key that expired is reported to no watcher, so `Bus.keys` asks; a request right behind another connection's
subscription may find no responder, which is no news and is tried again by the caller.
"""

import asyncio
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import api
from nats.js.kv import KV_DEL, KV_OP, KV_PURGE, KeyValue

from protocol.model.fleet.names import BUCKETS, TTL_S, WITH_TTL, bucket_name, orders_stream, orders_subject

CONNECT_S: Final = 3.0
ANSWER_S: Final = 5.0
"""How long a broker may take to say that something is written: it writes to its disk first."""
PING_S: Final = 2.0
VALUE_BYTES_MAX: Final = 64 << 10
BUCKET_BYTES_MAX: Final = 256 << 20
ORDERS_MAX: Final = 100_000
ORDER_BYTES_MAX: Final = 256 << 10
ACK_S: Final = 30.0
"""An order that was not acknowledged for so long is delivered again."""
DEDUPE_S: Final = 120.0
PORT: Final = 4222

UNREACHABLE: Final = "unreachable"
"""Kinds of `BusFault`: no broker answers; ..."""
REFUSED: Final = "refused"
"""... it does not take this key; ..."""
UNTRUSTED: Final = "untrusted"
"""... its certificate is not trusted; ..."""
FORBIDDEN: Final = "forbidden"
"""... the key may not do this; ..."""
UNFIT: Final = "unfit"
"""... it is no JetStream broker as needed; ..."""
FULL: Final = "full"
"""... its store is full."""


class BusFault(Exception):  # noqa: N818
    """The broker could not be used. `kind` is one of those above; the text is one line for people."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class WrongRevision(Exception):  # noqa: N818
    """The key has another revision than the writer believed, or is there already. Nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """Addresses of the brokers, and the name and key of this node. Paths are absolute; empty: none."""

    servers: tuple[str, ...]
    fleet: str
    node: str
    seed_file: str = ""
    """NKEY seed of this node ..."""
    creds_file: str = ""
    """... or its credentials file, with a JWT."""
    ca_file: str = ""
    replicas: int = 1
    """Brokers that hold each bucket: 3 where there are three."""
    ttl_s: float = TTL_S
    """How long a row of a bucket in `WITH_TTL` stays after it was written."""

    @property
    def shown(self) -> str:
        """The servers for people, without passwords."""
        return ", ".join(_shown(each) for each in self.servers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Value of a key at a revision, which grows with every write in the bucket. `value` None: it was deleted."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An order from the stream. It comes again until `done` was awaited."""

    data: bytes
    serial: int
    done: Callable[[], Awaitable[None]]


class Bus:
    """Connection to the broker, made by `connected`. Every method may raise `BusFault`."""

    def __init__(self, settings: BusSettings, client: Client, lost: asyncio.Event, complaints: list[str]) -> None:
        self._settings = settings
        self._client = client
        self._streams = client.jetstream(timeout=ANSWER_S)
        self._buckets: dict[str, KeyValue] = {}
        self._complaints = complaints
        self.lost: Final = lost
        """Set when the connection is over."""

    @property
    def bytes_moved(self) -> int:
        """Payload bytes sent and received over this connection."""
        stats = self._client.stats
        return stats["in_bytes"] + stats["out_bytes"]

    async def close(self) -> None:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(self._client.close(), CONNECT_S)

    # -- buckets

    async def open_all(self) -> None:
        """Open the buckets and the stream of orders, and make those that are not there."""
        for bucket in BUCKETS:
            name = bucket_name(self._settings.fleet, bucket)
            ttl_s = self._settings.ttl_s if bucket in WITH_TTL else 0.0
            self._buckets[bucket] = await self._guarded(f"the bucket {name}", self._opened(name, ttl_s))
        await self._guarded("the stream of orders", self._stream_made())

    async def _opened(self, name: str, ttl_s: float) -> KeyValue:
        try:
            return await self._streams.key_value(name)
        except nats.js.errors.BucketNotFoundError:
            config = api.KeyValueConfig(
                bucket=name,
                ttl=ttl_s or None,
                history=1,
                replicas=self._settings.replicas,
                max_value_size=VALUE_BYTES_MAX,
                max_bytes=BUCKET_BYTES_MAX,
                storage=api.StorageType.FILE,
            )
            return await self._streams.create_key_value(config)

    async def create(self, bucket: str, key: str, value: bytes) -> int:
        """Write a key that is not there; return its revision. Raises `WrongRevision`."""
        what = f"{bucket} {key}"
        try:
            return int(await self._guarded(what, self._buckets[bucket].create(key, value)))
        except KeyError:  # it was there, and expired before the library looked at what it was
            raise WrongRevision(what) from None

    async def update(self, bucket: str, key: str, value: bytes, revision: int) -> int:
        """Write a key that is at this revision; return the new one. Raises `WrongRevision`."""
        return int(await self._guarded(f"{bucket} {key}", self._buckets[bucket].update(key, value, last=revision)))

    async def put(self, bucket: str, key: str, value: bytes) -> int:
        """Write a key, whatever it holds: for keys that one node alone writes. Return its revision."""
        return int(await self._guarded(f"{bucket} {key}", self._buckets[bucket].put(key, value)))

    async def delete(self, bucket: str, key: str, revision: int) -> int:
        """Delete a key that is at this revision; return that of the deletion. Raises `WrongRevision`."""
        return int(await self._guarded(f"{bucket} {key}", self._deleted(bucket, key, revision)))

    async def _deleted(self, bucket: str, key: str, revision: int) -> int:
        """As the library does it, but with the revision."""
        subject = f"$KV.{bucket_name(self._settings.fleet, bucket)}.{key}"
        headers = {KV_OP: KV_DEL, api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(revision)}
        try:
            return (await self._streams.publish(subject, headers=headers)).seq
        except nats.js.errors.APIError as error:
            if error.err_code in _WRONG_LAST:
                raise nats.js.errors.KeyWrongLastSequenceError from None
            raise

    async def get(self, bucket: str, key: str) -> Entry | None:
        """Return a key's value, None when there is none. The leader of the brokers answers, so it is the newest."""
        try:
            found = await self._guarded(f"{bucket} {key}", self._buckets[bucket].get(key))
        except KeyError:
            return None
        return Entry(key=key, value=found.value, revision=found.revision or 0)

    async def keys(self, bucket: str) -> list[str]:
        """Return the keys that are there: the only way to see that one expired."""
        try:
            return list(await self._guarded(bucket, self._buckets[bucket].keys()))
        except KeyError:
            return []

    async def watch(self, bucket: str) -> AsyncIterator[Entry | None]:
        """Yield every key as it is, then None, then every change. An expired key is no change."""
        watcher = await self._guarded(bucket, self._buckets[bucket].watchall())
        try:
            async for entry in watcher:
                if entry is None:
                    yield None
                else:
                    gone = entry.operation in (KV_DEL, KV_PURGE)
                    value = None if gone else entry.value or b""
                    yield Entry(key=entry.key, value=value, revision=entry.revision or 0)
        finally:
            with suppress(nats.errors.Error, OSError):
                await watcher.stop()

    # -- orders

    async def _stream_made(self) -> None:
        config = api.StreamConfig(
            name=orders_stream(self._settings.fleet),
            subjects=[orders_subject(self._settings.fleet)],
            retention=api.RetentionPolicy.WORK_QUEUE,
            discard=api.DiscardPolicy.NEW,
            max_msgs=ORDERS_MAX,
            max_bytes=BUCKET_BYTES_MAX,
            max_msg_size=ORDER_BYTES_MAX,
            duplicate_window=DEDUPE_S,
            num_replicas=self._settings.replicas,
            storage=api.StorageType.FILE,
        )
        try:
            await self._streams.stream_info(config.name or "")
        except nats.js.errors.NotFoundError:
            await self._streams.add_stream(config)

    async def order(self, data: bytes, key: str) -> bool:
        """Store an order; return False when one of this idempotency key is there already."""
        subject, headers = orders_subject(self._settings.fleet), {str(api.Header.MSG_ID.value): key}
        acked = await self._guarded("an order", self._streams.publish(subject, data, headers=headers))
        return not acked.duplicate

    async def orders(self, *, wait_s: float = 5.0) -> AsyncIterator[Delivery]:
        """Yield orders as they come, each until it is acknowledged; for the leader, one at a time in the fleet.

        They are asked for one by one: the library holds a larger batch back until it is full or its time is over.
        """
        config = api.ConsumerConfig(ack_policy=api.AckPolicy.EXPLICIT, ack_wait=ACK_S, max_ack_pending=1000)
        subject, stream = orders_subject(self._settings.fleet), orders_stream(self._settings.fleet)
        pull = self._streams.pull_subscribe(subject, durable="leader", stream=stream, config=config)
        source = await self._guarded("the stream of orders", pull)
        try:
            while not self.lost.is_set():
                try:
                    found = await source.fetch(1, timeout=wait_s)
                except TimeoutError:
                    continue
                except nats.errors.Error as error:
                    raise self._fault("the stream of orders", error) from error
                for each in found:
                    yield Delivery(data=each.data, serial=each.metadata.sequence.stream, done=_acked(each))
        finally:
            with suppress(nats.errors.Error, OSError, ValueError):
                await source.unsubscribe()

    # -- between nodes

    async def hear(self, subject: str, take: Callable[[bytes], None]) -> None:
        """Call `take` with what is sent to this subject from now on."""

        async def receive(message: Any) -> None:
            take(message.data)

        await self._guarded(subject, self._client.subscribe(subject, cb=receive))

    async def serve(self, subject: str, answer: Callable[[bytes], Awaitable[bytes]], *, queue: str = "") -> None:
        """Answer requests to this subject; of several that serve the same `queue`, one does."""
        tasks: set[asyncio.Task[None]] = set()

        async def respond(message: Any) -> None:
            with suppress(nats.errors.Error, OSError):  # who asked asks again
                await message.respond(await answer(message.data))

        async def receive(message: Any) -> None:
            task = asyncio.ensure_future(respond(message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        await self._guarded(subject, self._client.subscribe(subject, queue=queue, cb=receive))

    async def send(self, subject: str, data: bytes) -> None:
        """Send to all that hear this subject; it is lost where none does."""
        await self._guarded(subject, self._client.publish(subject, data))

    async def request(self, subject: str, data: bytes, *, wait_s: float = ANSWER_S) -> bytes:
        """Return the answer of one that serves this subject."""
        answer = await self._guarded(subject, self._client.request(subject, data, timeout=wait_s), wait_s=wait_s)
        body: bytes = answer.data
        return body

    # -- faults

    async def _guarded(self, what: str, doing: Awaitable[Any], *, wait_s: float = ANSWER_S) -> Any:
        """Await one exchange with the broker, its errors made ours. KeyError: there is no such key."""
        try:
            return await asyncio.wait_for(doing, wait_s + 1)
        except (nats.js.errors.KeyNotFoundError, nats.js.errors.NoKeysError):
            raise KeyError(what) from None
        except nats.js.errors.KeyWrongLastSequenceError:
            raise WrongRevision(what) from None
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
            raise self._fault(what, error) from error

    def _fault(self, what: str, error: BaseException) -> BusFault:
        if isinstance(error, nats.js.errors.APIError):
            return _api_fault(what, error)
        if isinstance(error, nats.errors.MaxPayloadError):
            return BusFault(UNFIT, f"{what} is larger than the broker takes (max_payload)")
        if self._complaints:
            return BusFault(FORBIDDEN, f"this node's key may not use {what}: {self._complaints.pop()}")
        if isinstance(error, nats.js.errors.NoStreamResponseError | nats.errors.NoRespondersError):
            return BusFault(UNREACHABLE, f"no JetStream answers for {what}: switched off, or too few brokers are left")
        return BusFault(UNREACHABLE, f"the broker does not answer for {what}: {_words(error)}")


_WRONG_LAST: Final = (10071, 10164)
_STORE_FULL: Final = (10047, 10023, 10028, 10077, 10122)
_TOO_FEW: Final = (10005, 10074)


def _api_fault(what: str, error: nats.js.errors.APIError) -> BusFault:
    words = error.description or type(error).__name__
    if error.err_code in _TOO_FEW:
        return BusFault(UNFIT, f"{what} cannot have that many copies: [fleet] replicas is more than there are brokers")
    if error.err_code in _STORE_FULL or "maximum" in words or "insufficient" in words:
        return BusFault(FULL, f"the broker's store has no room for {what}: {words}")
    if error.code == 503:
        return BusFault(UNREACHABLE, f"the brokers cannot write {what} now: {words}")
    return BusFault(UNFIT, f"the broker refuses {what}: {words}")


def _acked(message: Any) -> Callable[[], Awaitable[None]]:
    async def done() -> None:
        with suppress(nats.errors.Error, OSError):  # it comes again, and its key says that it was done
            await message.ack()

    return done


async def connected(settings: BusSettings) -> Bus:
    """Return a connection to the first broker that takes this node, in random order. Raises `BusFault`."""
    faults: list[BusFault] = []
    for server in random.sample(settings.servers, len(settings.servers)):
        try:
            return await _connected_to(server, settings)
        except BusFault as fault:
            faults.append(fault)
    # A refusal says more than a broker that is not there.
    raise next((each for each in faults if each.kind != UNREACHABLE), faults[0])


async def _connected_to(server: str, settings: BusSettings) -> Bus:
    shown, lost, complaints = _shown(server), asyncio.Event(), list[str]()
    client = Client()

    async def closed() -> None:
        lost.set()

    async def complained(error: Exception) -> None:
        words = str(error)
        if "permissions violation" in words.lower():
            del complaints[:-1]
            complaints.append(words.removeprefix("nats: ").strip("'\""))

    options: dict[str, Any] = {
        "name": settings.node,
        "inbox_prefix": f"_INBOX.{settings.node}",
        "allow_reconnect": False,
        "connect_timeout": CONNECT_S,
        "ping_interval": PING_S,
        "max_outstanding_pings": 2,
        "closed_cb": closed,
        "disconnected_cb": closed,
        "error_cb": complained,
    }
    options |= _keys(settings)
    secure = _tls(server, settings)
    if secure is not None:
        options["tls"] = secure
    try:
        await _reached(server)
        await asyncio.wait_for(client.connect(server, **options), 2 * CONNECT_S)
        if secure is not None and client._transport._io_writer.get_extra_info("ssl_object") is None:  # type: ignore
            raise nats.errors.SecureConnWantedError  # the library goes on in the clear where the server offers no TLS
    except Exception as error:
        with suppress(Exception):  # what a client that never connected says at its end is no news
            await client.close()
        raise _not_connected(shown, settings, error) from error
    return Bus(settings, client, lost, complaints)


async def _reached(server: str) -> None:
    """Raise the OSError of an address that cannot be connected to: the library would try it again and again."""
    parts = urlsplit(server)
    _, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, parts.port or PORT), CONNECT_S)
    writer.close()


def _not_connected(shown: str, settings: BusSettings, error: Exception) -> BusFault:
    words = str(error).lower()
    key = settings.seed_file or settings.creds_file
    if isinstance(error, nats.errors.AuthorizationError) or "authorization" in words or "authentication" in words:
        whose = f"the key in {key}" if key else "a connection without a key"
        return BusFault(
            REFUSED, f"the broker at {shown} does not know {whose}: its configuration, or [fleet], is wrong"
        )
    if isinstance(error, ssl.SSLError) or "certificate" in words:
        return BusFault(UNTRUSTED, f"the broker at {shown} has no certificate that is trusted here: {_words(error)}")
    if isinstance(error, nats.errors.SecureConnRequiredError | nats.errors.SecureConnWantedError):
        return BusFault(UNTRUSTED, f"the broker at {shown} and [fleet] differ on TLS: {_words(error)}")
    return BusFault(UNREACHABLE, f"no broker answers at {shown}: {_words(error)}")


def _keys(settings: BusSettings) -> dict[str, Any]:
    for name, path in (("nkeys_seed", settings.seed_file), ("user_credentials", settings.creds_file)):
        if path:
            try:
                if os.stat(path).st_mode & 0o077:
                    raise BusFault(REFUSED, f"others can read the key in {path}: chmod 600 it")
            except OSError as error:
                raise BusFault(REFUSED, f"the key in {path} cannot be read: {error.strerror}") from None
            return {name: path}
    return {}


def _tls(server: str, settings: BusSettings) -> ssl.SSLContext | None:
    """TLS 1.3 where the address begins with tls://, or a certificate authority is named."""
    if not server.startswith("tls://") and not settings.ca_file:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:
        what = f"the certificates in {settings.ca_file} cannot be read"
        raise BusFault(UNTRUSTED, f"{what}: {error.strerror or error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _shown(server: str) -> str:
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or PORT}"


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return (str(error) or type(error).__name__).removeprefix("nats: ")
