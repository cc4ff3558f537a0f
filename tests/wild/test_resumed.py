"""Downloads that go on while their server tells another version: the bytes decide where only the ETag differs."""

import pytest

from tests.e2e.program import Shoal
from tests.wild.conftest import Serve
from tests.wild.server import File, Reply, Request

OLD = bytes(range(256)) * 8192  # 2 MiB
HALF = len(OLD) // 2
NEXT_DAY = "Wed, 04 Nov 2026 10:00:00 GMT"
SAME_DAY = "Tue, 03 Nov 2026 10:00:00 GMT"
SECONDS_LATER = "Tue, 03 Nov 2026 10:00:20 GMT"


class _Origin:
    """Breaks off at half of the file until it is `replaced`."""

    def __init__(self) -> None:
        self.file, self.replaced = File(OLD), False

    def replace(self, data: bytes, etag: str, modified: str) -> None:
        self.file, self.replaced = File(data, etag=etag, modified=modified), True

    def __call__(self, request: Request, reply: Reply) -> bool:
        wanted = request.range(len(OLD)) or (0, len(OLD))
        if self.replaced:
            return self.file(request, reply)
        if wanted[0] > 1:
            reply.head("503 Service Unavailable", "Content-Length: 0")
            return True
        return self.file(request, reply, cut=HALF)


@pytest.mark.long
@pytest.mark.parametrize(
    ("modified", "other", "kept"),
    [
        (SAME_DAY, False, True),
        (SECONDS_LATER, False, True),
        (SAME_DAY, True, False),
        (NEXT_DAY, False, False),
    ],
)
def test_what_is_stored_is_kept_where_only_the_etag_is_another_and_the_bytes_are_the_same(
    shoal: Shoal, serve: Serve, modified: str, other: bool, kept: bool
) -> None:
    origin = _Origin()
    url = serve(origin).url()
    first = shoal.run("get", url, "-o", "f.bin", "-q", "--retries", "1", "--max-time", "6")
    assert first.code != 0
    assert (shoal.folder / "f.bin.part").exists()
    data = OLD[::-1] if other else OLD
    origin.replace(data, '"v2"', modified)
    done = shoal.run("get", url, "-o", "f.bin", "--json")
    assert done.code == 0, done
    assert (shoal.folder / "f.bin").read_bytes() == data
    assert (sum(done.given.values()) < len(OLD)) is kept, done.given
