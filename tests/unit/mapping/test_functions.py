"""Fields by functions of the project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest

from syncline.errors import RunFailed
from tests.unit.mapping.test_mapper import Case


@contextmanager
def hooked(function: Callable[..., Any], rest: str = "", target: str = "bigint") -> Iterator[Case]:
    yield Case(
        {"id": "bigint", "x": "integer", "name": "text"}, {"id": "bigint", "y": target},
        f"fields: {{y: {{python: hooks.f{rest}}}}}", {"hooks.f": function},
    )  # fmt: skip


def test_a_function_gets_arrow_types_and_gives_a_series() -> None:
    """An integer with nulls stays one; the function sees the columns that it takes."""
    seen: list[Any] = []

    def double(frame: Any) -> Any:
        seen.append([(name, str(kind)) for name, kind in frame.dtypes.items()])
        return frame["x"] * 2

    with hooked(double, ", takes: [x]") as case:
        mapped = case.map((1, 5, "a"), (2, None, "b"))
    assert seen == [[("x", "int32[pyarrow]")]]
    assert mapped.fields.column("y").to_pylist() == [10, None]


def test_what_a_function_gives_is_coerced_like_any_value() -> None:
    """A result that does not fit is a misfit of that record; a default stands for NULL."""
    with hooked(lambda frame: frame["x"] / 2, ", default: -1") as case:
        mapped = case.map((1, 4, ""), (2, 5, ""), (3, None, ""))
    assert mapped.fields.column("y").to_pylist() == [2, None, -1]
    assert [(misfit.row, misfit.value) for misfit in mapped.misfits] == [(1, "2.5")]


def test_a_function_that_raises_on_one_record_loses_that_one_only() -> None:
    """The batch is halved until the record is found."""

    def picky(frame: Any) -> Any:
        if (frame["x"] == 77).any():
            raise ValueError("not 77")
        return frame["x"]

    with hooked(picky) as case:
        mapped = case.map(*((n, n, "") for n in range(200)))
    assert [(misfit.row, misfit.reason) for misfit in mapped.misfits] == [
        (77, "hooks.f raised ValueError: not 77")
    ]
    assert mapped.fields.column("y").to_pylist() == [n if n != 77 else None for n in range(200)]


def test_a_function_that_is_broken_fails_the_run() -> None:
    """Failing on every record, another length, or no Series, is no fault of the records."""

    def fails(_frame: Any) -> Any:
        raise KeyError("nope")

    wrong: list[tuple[Callable[..., Any], str]] = [
        (fails, "record after record"),
        (lambda frame: frame["x"].head(1), "gave 1 values"),
        (lambda _: 5, "pandas Series"),
    ]
    for function, said in wrong:
        with hooked(function) as case, pytest.raises(RunFailed, match=said):
            case.map(*((n, n, "") for n in range(300)))


def test_an_empty_batch_is_mapped_to_an_empty_batch() -> None:
    """With the target's types."""
    with hooked(lambda frame: frame["x"]) as case:
        mapped = case.map()
    assert mapped.fields.schema.field("y").type == pa.int64()
    assert mapped.keys.num_rows == 0
