"""Value objects as flat rows: nothing is lost, no two columns have one name, and what is not meant is refused."""

import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.model.job_records import AttemptRecord, EventEntry, JobRecord, SourceRecord
from protocol.model.job_spec import HttpOptions, JobSpec, PieceHashes, TransferPolicy
from protocol.model.value import RowFormat, Value

FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=20),
    bytes: st.binary(max_size=20),
    bool: st.booleans(),
    tuple[int, ...]: st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(tuple),
    tuple[str, ...]: st.lists(st.text(max_size=9), max_size=4).map(tuple),
}


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    fields = {field.name: hints[field.name] for field in msgspec.structs.fields(cls)}
    return st.builds(
        cls, **{name: FIELDS[hint] if hint in FIELDS else instances(hint) for name, hint in fields.items()}
    )


@pytest.mark.parametrize("cls", [AttemptRecord, EventEntry, JobRecord, JobSpec, SourceRecord])
@given(data=st.data())
def test_a_value_comes_back_from_its_row(cls: type[Value], data: st.DataObject) -> None:
    rows = RowFormat(cls)
    value = data.draw(instances(cls))
    row = rows.row(value)
    assert len(row) == len(rows.columns)
    assert all(isinstance(field, str | bytes | int | float) for field in row), "what a database can hold"
    assert rows.value([int(field) if isinstance(field, bool) else field for field in row]) == value


@pytest.mark.parametrize("cls", [JobRecord, SourceRecord])
def test_every_column_has_a_name_of_its_own(cls: type[Value]) -> None:
    names = [column.name for column in RowFormat(cls).columns]
    assert len(set(names)) == len(names)


def test_the_columns_of_a_job_are_the_fields_of_its_specification_too() -> None:
    columns = {column.name: column for column in RowFormat(JobRecord).columns}
    embedded = (
        *JobSpec.__struct_fields__,
        *TransferPolicy.__struct_fields__,
        *HttpOptions.__struct_fields__,
        *PieceHashes.__struct_fields__,
    )
    assert {*embedded} - {"policy", "http", "pieces"} < set(columns)
    assert (columns["slow_rate_bytes_s"].default, columns["mode"].default) == (5 * 1024, "swarm")


@pytest.mark.parametrize("broken", [("id", 7), ("serial", "x"), ("mode", None), ("headers", "{")])
def test_a_row_of_other_types_is_a_value_error(broken: tuple[str, Any]) -> None:
    rows = RowFormat(JobRecord)
    spec = JobSpec(folder="/f")
    row = dict(
        zip(
            [column.name for column in rows.columns],
            rows.row(JobRecord(id="a", serial=1, spec=spec, created_ms=0, queued_ms=0)),
            strict=True,
        )
    )
    name, value = broken
    with pytest.raises(ValueError, match=r"Expected|malformed|truncated"):
        rows.value(list((row | {name: value}).values()))


def test_values_cannot_be_changed_and_take_names_only() -> None:
    spec = JobSpec(folder="/f")
    with pytest.raises(AttributeError):
        spec.folder = "/g"  # type: ignore[misc]
    with pytest.raises(TypeError):
        JobSpec("/f")  # type: ignore[call-arg]
    assert spec.but(folder="/g").folder == "/g"
    assert spec.folder == "/f"
