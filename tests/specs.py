"""Job specifications for tests: fields are given flat, by name, and put where they belong."""

from typing import Any

from protocol.messages import OpenPartFile, StartJob
from protocol.model.job_spec import JobSpec, TransferPolicy


def with_spec(fields: dict[str, Any], *, spec: JobSpec | None = None) -> dict[str, Any]:
    """Return the fields with those of a specification and of its policy moved into ``spec``."""
    spec = fields.get("spec", spec or JobSpec(folder="/f", policy=TransferPolicy(sync="none")))
    policy = {name: fields[name] for name in TransferPolicy.__struct_fields__ if name in fields}
    own = {name: fields[name] for name in JobSpec.__struct_fields__ if name in fields and name != "policy"}
    rest = {name: value for name, value in fields.items() if name not in policy and name not in own}
    return rest | {"spec": spec.but(**own, policy=spec.policy.but(**policy))}


def start_job(**fields: Any) -> StartJob:
    """Return an order for one attempt, shown at the front."""
    return StartJob(**{"job": 1, "source_count": 0, "watcher": "front/front", **with_spec(fields)})


def open_part_file(**fields: Any) -> OpenPartFile:
    """Return an order to open a part file."""
    return OpenPartFile(**{"job": 1, **with_spec(fields)})


def changed(asked: StartJob, **fields: Any) -> StartJob:
    """Return the same order but for these fields."""
    return asked.but(**with_spec(fields, spec=asked.spec))
