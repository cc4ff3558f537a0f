"""S3 bucket as a fleet's destination, by multipart upload, and the moving of parts to any destination.

A part is PUT by a presigned address, so the node that moves the bytes needs no key of the bucket.
"""

import base64
import contextlib
import errno
import hashlib
import http.client
import os
import re
import ssl
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from actors.core.fleet.vocabulary import StoreFault
from actors.fleet.destination import BLOCK_BYTES, Piece, Seen, StoreError, blocks, one_line
from actors.fleet.shared_folder import folder_fault, write_part
from protocol.model.fleet.names import PARTS_MAX, multipart_etag
from protocol.model.fleet.rows import PartRow
from storage.digests import stream_hasher

URL_S: Final = 900
"""How long a presigned address holds: a part is PUT at once, so a quarter of an hour serves a slow line."""
ANSWER_S: Final = 60.0
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_CODE: Final = re.compile(rb"<Code>\s*([A-Za-z0-9]{1,64})\s*</Code>")
_ERROR_BYTES_MAX: Final = 16 << 10


_FAULTS: Final = {
    "BadDigest": StoreFault.CHECKSUM,
    "InvalidDigest": StoreFault.CHECKSUM,
    "XAmzContentSHA256Mismatch": StoreFault.CHECKSUM,
    "RequestTimeTooSkewed": StoreFault.EXPIRED,
    "ExpiredToken": StoreFault.EXPIRED,
    "NoSuchUpload": StoreFault.NO_UPLOAD,
    "InvalidPart": StoreFault.BAD_PART,
    "InvalidPartOrder": StoreFault.BAD_PART,
    "EntityTooSmall": StoreFault.BAD_PART,
    "PreconditionFailed": StoreFault.EXISTS,
    "412": StoreFault.EXISTS,
    "ConditionalRequestConflict": StoreFault.SERVER,
    "NoSuchBucket": StoreFault.DENIED,
    "AccessDenied": StoreFault.DENIED,
    "AllAccessDisabled": StoreFault.DENIED,
    "InvalidAccessKeyId": StoreFault.DENIED,
    "SignatureDoesNotMatch": StoreFault.DENIED,
    "MethodNotAllowed": StoreFault.DENIED,
    "QuotaExceeded": StoreFault.FULL,
    "InsufficientStorage": StoreFault.FULL,
    "XMinioStorageFull": StoreFault.FULL,
    "StorageFull": StoreFault.FULL,
    "EntityTooLarge": StoreFault.TOO_MANY_PARTS,
    "InvalidArgument": StoreFault.TOO_MANY_PARTS,
}
"""Codes of S3's errors, by what they mean for the job."""
_WHOSE: Final = {
    "NoSuchBucket": "there is no bucket {bucket}: [fleet] destination is wrong, or it was deleted",
    "AccessDenied": "the key may not write to the bucket {bucket}",
    "InvalidAccessKeyId": "the key of the bucket {bucket} is not known there",
    "SignatureDoesNotMatch": "the secret key of the bucket {bucket} is wrong",
    "RequestTimeTooSkewed": "this machine's clock differs too much from that of the bucket {bucket}",
    "InsufficientStorage": "the bucket {bucket} has no room",
    "XMinioStorageFull": "the bucket {bucket} has no room",
    "QuotaExceeded": "the bucket {bucket} has no room left in its quota",
}


def fault_of(status: int, code: str, message: str = "") -> StoreFault:
    """Return what an error of S3 means, by its code, else by its status."""
    if code in ("AccessDenied", "SignatureDoesNotMatch") and "expired" in message.lower():
        return StoreFault.EXPIRED
    known = _FAULTS.get(code)
    if known is not None and not (code == "InvalidArgument" and "art" not in message):
        return known
    if status == 507:
        return StoreFault.FULL
    if status in (401, 403, 404, 405):
        return StoreFault.DENIED
    return StoreFault.EXISTS if status == 412 else StoreFault.SERVER


class Bucket:
    """S3 bucket. Without `key_id` the library looks for credentials as usual: environment, files, its role."""

    def __init__(
        self, bucket: str, prefix: str = "", *, endpoint: str = "", region: str = "", key_id: str = "", secret: str = ""
    ) -> None:
        import botocore.session
        from botocore.config import Config

        self._bucket, self._prefix = bucket, prefix
        style = {"addressing_style": "path" if endpoint else "auto"}
        config = Config(
            signature_version="s3v4",
            s3=style,
            connect_timeout=5.0,
            read_timeout=ANSWER_S,
            retries={"total_max_attempts": 2, "mode": "standard"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client: Any = botocore.session.get_session().create_client(
            "s3",
            region_name=region or "us-east-1",
            endpoint_url=endpoint or None,
            aws_access_key_id=key_id or None,
            aws_secret_access_key=secret or None,
            config=config,
        )

    def create(self, name: str, size_bytes: int) -> str:
        with self._faults(name):
            answer = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key(name))
        upload: str = answer["UploadId"]
        return upload

    def address(self, name: str, upload: str, part: int, md5: str) -> str:
        if not 0 <= part < PARTS_MAX:
            raise StoreError(StoreFault.TOO_MANY_PARTS, f"part {part + 1}: a multipart upload has {PARTS_MAX} at most")
        wanted = {
            "Bucket": self._bucket,
            "Key": self._key(name),
            "UploadId": upload,
            "PartNumber": part + 1,
            "ContentMD5": base64.b64encode(bytes.fromhex(md5)).decode(),
        }
        with self._faults(name):
            url: str = self._client.generate_presigned_url("upload_part", Params=wanted, ExpiresIn=URL_S)
        return url

    def complete(self, name: str, upload: str, parts: Sequence[PartRow]) -> str:
        listed = [{"PartNumber": each.part + 1, "ETag": f'"{each.etag}"'} for each in parts]
        with self._faults(name):
            answer = self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key(name),
                UploadId=upload,
                MultipartUpload={"Parts": listed},
                IfNoneMatch="*",
            )
        return _unquoted(answer["ETag"])

    def seen(self, name: str) -> Seen | None:
        from botocore.exceptions import ClientError

        with self._faults(name):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._key(name))
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                    return None
                raise
        return Seen(etag=_unquoted(answer["ETag"]), size_bytes=answer["ContentLength"])

    def abort(self, name: str, upload: str) -> None:
        try:
            with self._faults(name):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key(name), UploadId=upload)
        except StoreError as error:
            if error.fault is not StoreFault.NO_UPLOAD:
                raise

    def reading(self, name: str) -> str:
        wanted = {"Bucket": self._bucket, "Key": self._key(name)}
        with self._faults(name):
            url: str = self._client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=URL_S)
        return url

    def remove(self, name: str, etag: str) -> None:
        found = self.seen(name)
        if found is not None and found.etag == etag:
            with self._faults(name):
                self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def parts(self, name: str, upload: str) -> list[tuple[int, str]] | None:
        try:
            with self._faults(name):
                pages = self._client.get_paginator("list_parts").paginate(
                    Bucket=self._bucket, Key=self._key(name), UploadId=upload
                )
                listed = [part for page in pages for part in page.get("Parts", ())]
        except StoreError as error:
            if "NotImplemented" in str(error):
                return None
            raise
        return [(part["PartNumber"] - 1, _unquoted(part["ETag"])) for part in listed]

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    @contextmanager
    def _faults(self, name: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            yield
        except ClientError as error:
            said = error.response.get("Error", {})
            code, words = str(said.get("Code", "")), str(said.get("Message", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raise StoreError(fault_of(status, code, words), self._line(name, code, words)) from None
        except NoCredentialsError:
            what = f"no key of the bucket {self._bucket}: set access_key under [fleet], or AWS_ACCESS_KEY_ID"
            raise StoreError(StoreFault.DENIED, what) from None
        except BotoCoreError as error:
            what = f"the bucket {self._bucket} does not answer: {one_line(str(error))}"
            raise StoreError(StoreFault.UNREACHABLE, what) from None

    def _line(self, name: str, code: str, words: str) -> str:
        return _WHOSE.get(code, "the bucket {bucket} refuses {name}: {words}").format(
            bucket=self._bucket, name=name, words=one_line(f"{code} {words}")
        )


def _unquoted(etag: str) -> str:
    return etag.strip().removeprefix("W/").strip('"').lower()


# -- reading a finished file back


def read_back(address: str, size_bytes: int, *, part_bytes: int, algorithm: str = "") -> tuple[str, str]:
    """Read a finished file; return the ETag that S3 gives for it in parts of this size, and its digest.

    `address` as `Destination.reading` gives it. The digest is empty without an algorithm.
    """
    of_whole = stream_hasher(algorithm) if algorithm else None
    etags, of_part, left, rest = [], hashlib.md5(usedforsecurity=False), part_bytes, size_bytes
    with contextlib.closing(content_of(address, size_bytes)) as content:
        for block in content:
            rest -= len(block)
            view = memoryview(block)
            if of_whole is not None:
                of_whole.update(view)
            while view:
                of_part.update(view[:left])
                taken = min(left, len(view))
                view, left = view[taken:], left - taken
                if not left:
                    etags.append(of_part.hexdigest())
                    of_part, left = hashlib.md5(usedforsecurity=False), part_bytes
    if rest:
        raise StoreError(StoreFault.UNREACHABLE, f"the finished file ends {rest} bytes early when it is read back")
    if left < part_bytes or not etags:
        etags.append(of_part.hexdigest())
    return multipart_etag(etags), of_whole.hexdigest() if of_whole is not None else ""


def content_of(address: str, size_bytes: int) -> Generator[bytes, None, None]:
    """Yield what is at an address that `Destination.reading` gave, or another node for a part. Raises `StoreError`."""
    if not address.startswith(("http://", "https://")):
        try:
            yield from blocks(address, 0, size_bytes)
        except OSError as error:
            raise folder_fault(os.path.dirname(address), error) from None
        return
    line, target, host = _connection(address)
    try:
        line.request("GET", target)
        answer = line.getresponse()
        if answer.status != 200:
            _refused(answer, answer.read(_ERROR_BYTES_MAX), host, "to give what is asked for")
        while block := answer.read(BLOCK_BYTES):
            yield block
    except (OSError, http.client.HTTPException) as error:
        what = f"{host} does not give what is asked for: {one_line(getattr(error, 'strerror', '') or str(error))}"
        raise StoreError(StoreFault.UNREACHABLE, what) from None
    finally:
        line.close()


def _connection(address: str) -> tuple[http.client.HTTPConnection, str, str]:
    """Return a connection that is not open yet, what is asked for on it, and the host's name."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return make(host, timeout=ANSWER_S), parts._replace(scheme="", netloc="", fragment="").geturl(), host


def _refused(answer: http.client.HTTPResponse, body: bytes, host: str, what: str) -> NoReturn:
    found = _CODE.search(body)
    code = found[1].decode() if found else ""
    shown = code or f"{answer.status} {answer.reason}"
    words = one_line(body.decode("utf-8", "replace"))
    line = _WHOSE.get(code, f"{{bucket}} refuses {what}: {shown}").format(bucket=host)
    raise StoreError(fault_of(answer.status, code, words), line)


# -- moving a part


def put(address: str, piece: Piece) -> str:
    """Store a part at an address that `Destination.address` gave; return the ETag that the destination has for it."""
    if address.startswith(("http://", "https://")):
        return _put_http(address, piece)
    return write_part(address, piece, blocks(piece.path, piece.offset, piece.length), "this node's disk")


def _put_http(address: str, piece: Piece) -> str:
    line, target, host = _connection(address)
    try:
        with open(piece.path, "rb") as file:
            line.putrequest("PUT", target, skip_accept_encoding=True)
            line.putheader("Content-Length", str(piece.length))
            line.putheader("Content-MD5", base64.b64encode(bytes.fromhex(piece.md5)).decode())
            line.endheaders()
            _send(line, file, piece)
            answer = line.getresponse()
            body = answer.read(_ERROR_BYTES_MAX)
    except ssl.SSLCertVerificationError as error:
        what = f"the certificate of {host} is not trusted: {error.verify_message}"
        raise StoreError(StoreFault.UNREACHABLE, what) from None
    except (OSError, http.client.HTTPException) as error:
        what = f"{host} does not take a part: {one_line(getattr(error, 'strerror', '') or str(error))}"
        raise StoreError(StoreFault.UNREACHABLE, what) from None
    finally:
        line.close()
    if answer.status != 200:
        _refused(answer, body, host, "a part")
    etag = _unquoted(answer.headers.get("ETag", ""))
    encrypted = "kms" in answer.headers.get("x-amz-server-side-encryption", "")
    if not etag or (_MD5.fullmatch(etag) and etag != piece.md5 and not encrypted):
        raise StoreError(StoreFault.CHECKSUM, f"{host} has other bytes of a part than were sent")
    return etag


def _send(line: http.client.HTTPConnection, file: Any, piece: Piece) -> None:
    """Send the bytes; a server that refuses before it has read them all closes, and its answer is read all the same."""
    try:
        sent = line.sock.sendfile(file, piece.offset, piece.length)
    except (BrokenPipeError, ConnectionResetError):
        return
    if sent != piece.length:
        raise OSError(errno.EIO, f"{piece.path} is shorter than its part")
