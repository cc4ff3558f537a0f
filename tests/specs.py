"""Job specifications for tests: fields are given flat, by name, and put where they belong."""

from typing import Any

from protocol.messages import CreateJob, OpenPartFile, StartJob
from protocol.model.job_records import JobRecord
from protocol.model.job_spec import JobSpec, TransferPolicy
from protocol.model.job_views import JobView


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


def create_job(**fields: Any) -> CreateJob:
    """Return an order of a job."""
    return CreateJob(**{"sources": (), **with_spec(fields)})


def job_record(**fields: Any) -> JobRecord:
    """Return the record of a job that was just ordered, but for what is given."""
    return JobRecord(**{"serial": 1, "created_ms": 0, "queued_ms": 0, **with_spec(fields)})


def job_view(**fields: Any) -> JobView:
    """Return the view of a job that was just ordered, but for what is given."""
    live: dict[str, Any] = dict.fromkeys(("name", "phase"), "") | dict.fromkeys(("size_bytes", "queue_place"), -1)
    live |= {"rate_bytes_s": 0.0, "left_s": -1.0, "sources_active": 0}
    live |= {"id": "", "serial": 1, "created_ms": 0, "queued_ms": 0} | with_spec(fields)
    return JobView(**live | {name: fields[name] for name in ("name", "size_bytes") if name in fields})


def changed_view(view: JobView, **fields: Any) -> JobView:
    """Return the same view but for these fields."""
    shown = {name: fields[name] for name in ("name", "size_bytes") if name in fields}
    return view.but(**with_spec(fields, spec=view.spec), **shown)
