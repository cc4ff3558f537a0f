"""The text of a checksum file in an order of the native API."""

import pytest

from protocol.http_api.gateway import RefusedError
from protocol.http_api.native import validation
from protocol.http_api.native.order_schemas import DownloadOrder

ONE, TWO = "1" * 64, "2" * 64


def order(text: str, **more: object) -> DownloadOrder:
    fields = {
        "filename": "x.iso",
        "fileSize": None,
        "sources": [{"url": "http://a.example/x.iso"}],
        "checksumFile": text,
    }
    return DownloadOrder.model_validate({**fields, **more})


def test_the_line_of_the_files_name_is_taken() -> None:
    assert validation.checksum(order(f"{TWO}  y.iso\n{ONE} *x.iso\n")) == f"sha256:{ONE}"
    assert validation.checksum(order(f"SHA256 (x.iso) = {ONE}", checksum=f"sha256:{ONE}")) == f"sha256:{ONE}"


@pytest.mark.parametrize(
    ("text", "more", "kind"),
    [
        (f"{TWO}  y.iso\n", {}, "invalid"),
        ("nothing", {}, "invalid"),
        (f"{ONE}  x.iso\n", {"checksum": f"sha256:{TWO}"}, "conflict"),
    ],
)
def test_what_is_missing_or_contradicts_is_refused(text: str, more: dict[str, object], kind: str) -> None:
    with pytest.raises(RefusedError) as refused:
        validation.checksum(order(text, **more))
    assert (refused.value.kind, refused.value.field) == (kind, "checksumFile")
