"""Destination of the simulated fleet: multipart uploads and objects as S3 has them, with its refusals."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actors.core.fleet import vocabulary as v
from protocol.model.fleet.names import multipart_etag
from tests.sim.fleet_scenarios import Scenario


@dataclass(slots=True)
class Upload:
    """One multipart upload; `gone`: the destination has lost it."""

    job: str
    parts: dict[int, tuple[str, str]] = field(default_factory=dict)
    """ETag and content by part."""
    done: bool = False
    gone: bool = False


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Destination:
    """One bucket. `chance` draws a fault while faults happen; `in_use` knows whether a job's row names an upload."""

    def __init__(
        self,
        scenario: Scenario,
        random_: random.Random,
        chance: Callable[[float], bool],
        in_use: Callable[[str, str], bool],
    ) -> None:
        self.uploads: dict[str, Upload] = {}
        self.objects: dict[str, list[str]] = {}
        self.full = False
        self._scenario = scenario
        self._random = random_
        self._chance = chance
        self._in_use = in_use

    def perform(self, command: Any, content: str) -> v.Event | None:
        fault = None
        if self._chance(self._scenario.store_faults):
            fault = self._random.choice((v.StoreFault.SERVER, v.StoreFault.UNREACHABLE, v.StoreFault.EXPIRED))
        answered = not (fault is v.StoreFault.UNREACHABLE and self._random.random() < 0.5)
        match command:
            case v.PutPart():
                return self._put(command, content, fault)
            case v.CreateUpload():
                if fault:
                    return v.UploadFailed(command.job, command.epoch, fault)
                name = f"u{len(self.uploads)}"
                self.uploads[name] = Upload(command.job)
                return v.UploadCreated(command.job, command.epoch, name)
            case v.AbortUpload():
                upload = self.uploads.get(command.upload)
                if upload is not None:
                    assert not self._in_use(command.job, command.upload), "an upload in use was aborted"
                    upload.gone = True
                return None
            case v.CompleteUpload():
                if fault and answered:
                    return v.UploadFailed(command.job, command.epoch, fault)
                event = self._complete(command)
                return v.UploadFailed(command.job, command.epoch, fault) if fault else event
            case v.ListUpload():
                if fault:
                    return v.UploadFailed(command.job, command.epoch, fault)
                upload = self.uploads[command.upload]
                if upload.gone or upload.done:
                    return v.UploadFailed(command.job, command.epoch, v.StoreFault.NO_UPLOAD)
                parts = tuple((part, etag) for part, (etag, _) in sorted(upload.parts.items()))
                return v.UploadListed(command.job, command.epoch, parts, known=self._scenario.nodes % 2 == 0)
            case v.CheckObject():
                if fault:
                    return v.UploadFailed(command.job, command.epoch, fault)
                found = self.objects.get(command.destination)
                etag = multipart_etag([md5(each) for each in found]) if found else ""
                return v.ObjectSeen(command.job, command.epoch, etag, -1)
        raise AssertionError(command)

    def _put(self, command: v.PutPart, content: str, fault: v.StoreFault | None) -> v.Event:
        if not fault and self.full:
            fault = v.StoreFault.FULL
        if not fault and self._chance(self._scenario.store_faults / 4):
            fault = v.StoreFault.CHECKSUM
        upload = self.uploads[command.upload]
        if not fault and (upload.gone or upload.done):
            fault = v.StoreFault.NO_UPLOAD
        if fault:
            return v.PartPutFailed(command.job, command.part, command.epoch, fault)
        assert content, "a part was sent that is not here"
        upload.parts[command.part] = (md5(content), content)
        return v.PartPut(command.job, command.part, command.epoch, md5(content))

    def _complete(self, command: v.CompleteUpload) -> v.Event:
        upload = self.uploads[command.upload]
        fault = None
        if upload.gone or upload.done:
            fault = v.StoreFault.NO_UPLOAD
        elif command.destination in self.objects:
            fault = v.StoreFault.EXISTS
        elif any(upload.parts.get(part.part, ("",))[0] != part.etag for part in command.parts):
            fault = v.StoreFault.BAD_PART
        if fault is not None:
            return v.UploadFailed(command.job, command.epoch, fault)
        upload.done = True
        self.objects[command.destination] = [upload.parts[part.part][1] for part in command.parts]
        return v.UploadCompleted(command.job, command.epoch, multipart_etag([part.etag for part in command.parts]))
