"""What must hold after every step of the dispatcher, whatever the sources do."""

from actors.core.dispatch.dispatcher import DispatchState, Phase
from protocol.messages import DropChunks, LeaseGranted, Message, PartFileReady
from protocol.messages.addresses import ASSEMBLER, PEER_HISTORY, POOL, SESSION, WATCHDOG, Post, dispatcher_address
from tests.sim.disk_store import StoreOnDisk
from tests.sim.store import StoreModel


class Watch:
    """Looks on; owns only what it needs to notice that something went back."""

    def __init__(self, state: DispatchState, store: StoreModel | StoreOnDisk) -> None:
        self._state, self._store = state, store
        self._stored = 0
        self._granted: set[int] = set()

    def look(self, message: Message, posts: list[Post], now_s: float) -> None:
        state = self._state
        for post in posts:
            self._look_at_post(post)
        if state.leases is None:
            return
        board = state.leases.tracker
        board.check()
        if isinstance(message, PartFileReady) or any(isinstance(post.message, DropChunks) for post in posts):
            # Chunks of a source with other content are dropped; after a fault exactly what the disk still holds counts.
            self._stored = 0
        assert board.stored.count >= self._stored, f"chunks went back after {message}"
        self._stored = board.stored.count
        if self._store.chunk_count >= 0 and state.phase is not Phase.PAUSED:
            assert board.stored.count <= len(self._store.digests), "stored without the Assembler's word"
        if state.phase is Phase.RIDING:
            self._look_at_leases(now_s)

    def _look_at_post(self, post: Post) -> None:
        state = self._state
        known = {ASSEMBLER, PEER_HISTORY, POOL, SESSION, WATCHDOG, state.job.watcher, dispatcher_address(state.job.job)}
        known |= {source.worker for source in state.sources.values()}
        assert post.to in known, f"no one lives at {post.to}"
        if isinstance(post.message, LeaseGranted):
            assert post.message.lease not in self._granted, "a lease is granted once"
            self._granted.add(post.message.lease)
            assert 0 <= post.message.first < post.message.stop + (post.message.span_bytes > 0)

    def _look_at_leases(self, now_s: float) -> None:
        state = self._state
        assert state.leases is not None
        leases: dict[int, int] = {}
        for lease in state.leases.tracker.leases.values():
            if lease.draining:
                continue
            assert lease.source not in leases, "a source rides one lease"
            leases[lease.source] = lease.id
            assert state.sources[lease.source].busy == lease.id, "a source with a lease is busy with it"
            assert now_s - lease.heard_s < 60.0, "a lease never expires"
