"""What clients order: names, addresses, folders and digests that cannot be meant are refused by name."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from protocol.config.settings import DaemonSettings
from protocol.http_api.gateway import RefusedError
from protocol.http_api.native import validation
from protocol.http_api.native.order_schemas import DownloadOrder, MoreSources, SwarmOrder
from protocol.model.source_url import slsk_address

SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def order(**changes: Any) -> DownloadOrder:
    usual = {
        "filename": "tide.flac",
        "fileSize": 1000,
        "sources": [{"username": "ann", "fullPath": "music\\tide.flac"}],
    }
    return DownloadOrder.model_validate(usual | changes)


def wrong_member(body: dict[str, Any], kind: Any = DownloadOrder) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(body)
    return ".".join(str(part) for part in caught.value.errors()[0]["loc"])


def refused_field(call: Any, kind: str = "invalid") -> str:
    with pytest.raises(RefusedError) as caught:
        call()
    assert caught.value.kind == kind
    assert caught.value.detail
    return caught.value.field


def addresses(*sources: dict[str, str], private_ok: bool = False) -> list[str]:
    return validation.addresses(MoreSources.model_validate({"sources": list(sources)}).sources, private_ok=private_ok)


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"filename": None}, "filename"),
        ({"filename": 7}, "filename"),
        ({"filename": ""}, "filename"),
        ({"filename": ".."}, "filename"),
        ({"filename": "music/"}, "filename"),
        ({"filename": "a\nb"}, "filename"),
        ({"filename": "a\ud800"}, "filename"),
        ({"filename": "x" * 5000}, "filename"),
        ({"fileSize": -1}, "fileSize"),
        ({"fileSize": 1 << 60}, "fileSize"),
        ({"fileSize": "1000"}, "fileSize"),
        ({"fileSize": 1.5}, "fileSize"),
        ({"fileSize": True}, "fileSize"),
        ({"chunkSize": 4095}, "chunkSize"),
        ({"chunkSize": 1 << 21}, "chunkSize"),
        ({"mode": "swam"}, "mode"),
        ({"checksum": f"sha256:{SHA[1:]}"}, "checksum"),
        ({"checksum": f"sha257:{SHA}"}, "checksum"),
        ({"checksum": f"sha256:{SHA}\n"}, "checksum"),
        ({"expectedHash": "beef"}, "expectedHash"),
        ({"folder": "a\x00b"}, "folder"),
        ({"limit": -1}, "limit"),
        ({"priority": 5000}, "priority"),
        ({"sources": []}, "sources"),
        ({"sources": {}}, "sources"),
        ({"sources": [{"url": f"http://m.example/{i}"} for i in range(257)]}, "sources"),
        ({"sources": [{"username": "ann"}]}, "sources.0.fullPath"),
        ({"sources": [{"url": "ftp://m.example/f"}]}, "sources.0.url"),
        ({"sources": [{"url": "http://m.example/a b"}]}, "sources.0.url"),
        ({"sources": [{"url": "http://m.example/f", "username": "ann"}]}, "sources.0.username"),
        ({"sources": ["http://m.example/f"]}, "sources.0"),
        ({"sources": [{"url": "http://m.example/f"}, {}]}, "sources.1.username"),
        ({"cheksum": f"sha256:{SHA}"}, "cheksum"),
    ],
)
def test_a_wrong_member_is_named(changes: dict[str, Any], member: str) -> None:
    body = {"filename": "tide.flac", "fileSize": 1000, "sources": [{"url": "http://m.example/f"}], **changes}
    assert wrong_member(body) == member


@pytest.mark.parametrize("member", ["filename", "fileSize", "sources"])
def test_a_missing_member_is_named(member: str) -> None:
    body = {"filename": "tide.flac", "fileSize": 1000, "sources": [{"url": "http://m.example/f"}]}
    del body[member]
    assert wrong_member(body) == member


def test_a_swarm_needs_a_size_that_can_be_asked_for() -> None:
    assert wrong_member({"filename": "tide"}, SwarmOrder) == "size"
    assert wrong_member({"filename": "tide", "size": 0}, SwarmOrder) == "size"
    assert wrong_member({"filename": "tide", "size": 5, "searchTimeout": 999}, SwarmOrder) == "searchTimeout"


def test_a_size_that_is_not_known_is_said_to_be_so() -> None:
    assert order(fileSize=None).file_size is None


def test_a_user_and_a_path_become_an_address_and_nothing_is_lost() -> None:
    (url,) = addresses({"username": "ann b/ü", "fullPath": "mü\\100%\\a?b#c/d.flac"})
    assert slsk_address(url) == ("ann b/ü", "mü\\100%\\a?b#c/d.flac")


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"url": "http://a..b/f"}, "sources.1.url"),
        ({"url": "http://m.example:99999/f"}, "sources.1.url"),
        ({"url": "slsk://ann"}, "sources.1.url"),
        ({"username": "ann", "fullPath": "ü" * 4000}, "sources.1.fullPath"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(source: dict[str, str], field: str) -> None:
    assert refused_field(lambda: addresses({"url": "https://m.example/f"}, source)) == field


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/f",
        "http://user:secret@localhost:80/f",
        "http://a.localhost./f",
        "http://[::1]:8080/f",
        "http://[::ffff:10.0.0.1]/f",
        "http://10.1.2.3/f",
        "http://169.254.169.254/latest",
    ],
)
def test_an_address_inside_a_private_network_is_forbidden(url: str) -> None:
    assert refused_field(lambda: addresses({"url": url}), "forbidden") == "sources.0.url"


def test_the_same_place_twice_is_a_conflict() -> None:
    twice = [{"url": "https://m.example/f"}, {"url": "HTTPS://M.example:443/f"}]
    assert refused_field(lambda: addresses(*twice), "conflict") == "sources.1"


def test_a_whole_number_may_be_written_as_a_fraction() -> None:
    assert (order(fileSize=1000.0, priority=-3.0).file_size, order(limit=1e6).limit) == (1000, 1_000_000)


def test_a_private_address_is_taken_when_the_configuration_says_so() -> None:
    assert addresses({"url": "http://127.0.0.1:8000/f"}, private_ok=True) == ["http://127.0.0.1:8000/f"]


def test_no_refusal_quotes_a_password() -> None:
    with pytest.raises(RefusedError) as caught:
        addresses({"url": "http://user:secret@a..b/f"})
    assert "secret" not in caught.value.detail


def test_many_addresses_are_reported_in_several_messages_and_none_is_lost() -> None:
    urls = [f"http://m.example/{number:05}/{'x' * 500}" for number in range(200)]
    batches = list(validation.batches(urls))
    assert [url for batch in batches for url in batch] == urls
    assert len(batches) > 1
    assert all(sum(map(len, batch)) <= validation.BATCH_BYTES_MAX for batch in batches)
    assert list(validation.batches([])) == [()]


def test_of_a_path_the_name_is_taken() -> None:
    assert validation.file_name("path/to\\tide.flac ") == "tide.flac"
    assert refused_field(lambda: validation.file_name("\u3000..")) == "filename"


def test_a_folder_stays_inside_those_that_are_configured(tmp_path: Path) -> None:
    downloads, more, outside = (tmp_path / name for name in ("down", "more", "out"))
    for folder in (downloads, more, outside):
        folder.mkdir()
    (downloads / "trap").symlink_to(outside)
    daemon = DaemonSettings(state=str(tmp_path), downloads=str(downloads), more_folders=(str(more),))
    assert validation.folder(None, daemon) == str(downloads)
    assert validation.folder("a/b", daemon) == str(downloads / "a/b")
    assert validation.folder(str(more / "c"), daemon) == str(more / "c")
    outsiders = ("..", "a/../../x", "/etc", str(outside), "trap", "trap/x", str(downloads) + "x")
    for wrong, kind in [*((one, "forbidden") for one in outsiders), ("x" * 256, "invalid"), ("a/" * 1500, "invalid")]:
        assert refused_field(lambda wrong=wrong: validation.folder(wrong, daemon), kind) == "folder"


def test_a_bare_digest_is_named_by_its_length() -> None:
    assert validation.checksum(order()) == ""
    assert validation.checksum(order(checksum=f"sha256:{SHA.upper()}")) == f"sha256:{SHA}"
    assert validation.checksum(order(expectedHash=SHA.upper())) == f"sha256:{SHA}"
    assert validation.checksum(order(expectedHash=SHA[:32])) == f"md5:{SHA[:32]}"
    assert validation.checksum(order(expectedHash=SHA, checksum=f"sha256:{SHA}")) == f"sha256:{SHA}"
    other = order(expectedHash=SHA, checksum=f"sha1:{SHA[:40]}")
    assert refused_field(lambda: validation.checksum(other), "conflict") == "expectedHash"


def test_a_name_is_searched_for_by_its_words() -> None:
    assert validation.words_of("a/01 - Tide_(live).flac") == "01 Tide_ live flac"
