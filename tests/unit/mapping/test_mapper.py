"""A batch is mapped by one SELECT; every value arrives exactly, or as a misfit with its reason."""

# ruff: noqa: ARG002, E501 - stand-ins, and one line a fact

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.endpoints.base import SourceBatch
from syncline.endpoints.memory import MemoryEndpoint
from syncline.mapping.compile import bind
from syncline.mapping.load import parse_mapping
from syncline.mapping.mapper import Mapped
from syncline.record import Misfit, parse_type

HEAD = """\
source: {connection: crm, table: t}
target: {connection: app, table: u}
key: {id: id}
"""


class Project:
    """A project of one database, and of functions given by name."""

    def __init__(
        self, database: MemoryEndpoint, functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self.database, self.functions = database, functions
        self.hooks = self

    def open(self, name: str) -> Any:
        return self.database

    def function(self, dotted: str) -> Callable[..., Any]:
        return self.functions[dotted]

    def digest(self, dotted: str) -> str:
        return dotted


class Case:
    """One mapping over typed columns, which maps records given as tuples."""

    def __init__(
        self,
        source: Mapping[str, str],
        target: Mapping[str, str],
        rest: str,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        lookups: Mapping[str, Mapping[str, str]] | None = None,
        head: str = HEAD,
    ) -> None:
        tables = {"t": source, **(lookups or {})}
        self.crm = MemoryEndpoint(
            {
                name: {c: parse_type(t) for c, t in columns.items()}
                for name, columns in tables.items()
            }
        )
        app = MemoryEndpoint({"u": {c: parse_type(t) for c, t in target.items()}})
        self.bound = bind(
            parse_mapping(head + rest),
            source=self.crm,
            target=app,
            project=Project(self.crm, functions or {}),
        )
        self.names = list(source)

    def map(self, *records: tuple[Any, ...], misfits: tuple[Misfit, ...] = ()) -> Mapped:
        bound = self.bound
        rows = [dict(zip(self.names, record, strict=True)) for record in records]
        columns = {
            name: pa.array([row[name] for row in rows], type_.arrow)
            for name, type_ in bound.read.columns.items()
        }
        with bound.mapper() as mapper:
            return mapper.map(SourceBatch(pa.table(columns), misfits, ""))


def one(source: str, value: Any, rule: str, target: str) -> Any:
    """The field that this rule makes of column `x`; a misfit's reason where there is one."""
    mapped = Case(
        {"id": "bigint", "x": source}, {"id": "bigint", "y": target}, f"fields:\n  y: {rule}\n"
    ).map((1, value))
    if mapped.misfits:
        assert mapped.fields.column("y").to_pylist() == [None]
        return mapped.misfits[0].reason
    return mapped.fields.column("y").to_pylist()[0]


@pytest.mark.parametrize(
    ("source", "value", "rule", "target", "expected"),
    [
        ("text", " A ", "lower(trim(x))", "text", "a"),
        ("text", None, "{sql: upper(x), default: none}", "text", "none"),
        ("text", "b", "{from: x, values: {a: 1, b: 2}}", "bigint", 2),
        ("text", "c", "{from: x, values: {a: 1, b: 2}, else: null}", "bigint", None),
        ("text", None, "{from: x, values: {a: 1}}", "bigint", None),
        ("text", None, "{from: x, values: {a: 1}, else: 9}", "bigint", 9),
        ("bool", True, '{from: x, values: {"true": yes, false: no}}', "text", "yes"),
        ("integer", 2, "{from: x, values: {1: one, 2: two}}", "text", "two"),
        ("decimal", "1.50", "{from: x, values: {1.5: half}}", "text", "half"),
        ("text", "x", "{value: US}", "text", "US"),
        ("text", "x", "{value: 1.50}", "decimal(5,2)", Decimal("1.50")),
        ("text", "x", "{value: {a: [1, null]}}", "json", '{"a": [1, null]}'),
        ("text", "x", "{value: null}", "text", None),
        ("decimal", "123456789012345678901234567890.123", "x", "decimal", "123456789012345678901234567890.123"),
        ("decimal", "1.50", "x + 1", "decimal(10,2)", Decimal("2.50")),
        ("json", '{"a": {"b": 7}}', "cast(x ->> '$.a.b' as bigint)", "bigint", 7),
        ("json", '{"a": 1}', "x", "json", '{"a": 1}'),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "concat('u-', x)", "text", "u-a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("text", "a,b", "string_split(x, ',')", "json", '["a","b"]'),
        ("text", "a", "struct_pack(k := x, n := 1)", "json", '{"k":"a","n":1}'),
        ("integer", 7, "list_sum([x, 1])", "bigint", 8),
        ("timestamptz", datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "{from: x, truncate: ms}", "timestamptz(3)",
         datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
        ("timestamptz", datetime(2024, 1, 2, 23, 0, tzinfo=UTC), "{sql: x, truncate: day}", "date",
         datetime(2024, 1, 2, tzinfo=UTC).date()),
        ("timestamptz", datetime(2024, 1, 2, 23, 0, tzinfo=UTC), "date_part('hour', x)", "integer", 23),
        ("double", 2.0, "x", "bigint", 2),
        ("text", "1.239", "{from: x, type: 'decimal(9,3)'}", "text", "1.239"),
        # what does not fit
        ("integer", 2**31 - 1, "x + 1", "bigint", "out of Range Error: Overflow in addition of INT32 (2147483647 + 1)!"),
        ("text", "z", "{from: x, values: {a: 1}}", "bigint", "is none of the keys of `values`"),
        ("double", 1.7, "x", "bigint", "does not fit bigint exactly"),
        ("text", "abcdef", "x", "text(5)", "longer than text(5)"),
        ("text", "1.239", "{from: x, type: 'decimal(9,2)'}", "text", "does not fit decimal(9,2) exactly"),
        ("timestamptz", datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "x", "timestamptz(3)",
         "finer than timestamptz(3): `truncate` would cut it"),
        ("decimal", "0.123456789012", "x + 1", "decimal", "does not fit decimal(38,10), as which expressions see it"),
        ("json", "not json", "x ->> '$.a'", "text", "does not fit JSON, as which expressions see it"),
        ("text", "infinity", "cast(x as timestamp)", "timestamp", "lies outside the years 1 to 9999"),
    ],
)  # fmt: skip
def test_a_field_is_what_its_rule_says(
    source: str, value: Any, rule: str, target: str, expected: Any
) -> None:
    """One line a rule; a misfit leaves NULL behind and says why."""
    assert one(source, value, rule, target) == expected


def test_f25_a_record_whose_expression_fails_is_a_misfit_and_the_others_land() -> None:
    """Errors of the user's own casts stop no batch; each names its field, its value and DuckDB's
    reason.
    """
    case = Case(
        {"id": "bigint", "x": "text"}, {"id": "bigint", "y": "bigint", "z": "text"},
        "fields: {y: cast(x as bigint), z: upper(x)}",
    )  # fmt: skip
    mapped = case.map(*((n, "bad" if n == 500 else str(n)) for n in range(1000)))
    (misfit,) = mapped.misfits
    assert (misfit.row, misfit.field, misfit.value) == (500, "y", "x=bad")
    assert "conversion Error" in misfit.reason
    y = mapped.fields.column("y").to_pylist()
    assert y[499:502] == [499, None, 501]
    assert mapped.fields.column("z").to_pylist()[500] == "BAD"


def test_an_error_is_told_from_null_in_the_same_batch() -> None:
    """A record whose expression gives NULL is no misfit because another one's raised."""
    case = Case(
        {"id": "bigint", "x": "text"},
        {"id": "bigint", "y": "bigint"},
        "fields: {y: cast(x as bigint)}",
    )
    mapped = case.map((1, None), (2, "bad"), (3, "3"))
    assert [misfit.row for misfit in mapped.misfits] == [1]
    assert mapped.fields.column("y").to_pylist() == [None, None, 3]


def test_many_failing_records_are_all_found_quickly() -> None:
    """A batch that fails in every record is one pass, not one query a record."""
    case = Case(
        {"id": "bigint", "x": "text"},
        {"id": "bigint", "y": "bigint"},
        "fields: {y: cast(x as bigint)}",
    )
    mapped = case.map(*((n, "bad") for n in range(20_000)))
    assert len(mapped.misfits) == 20_000


def test_where_says_what_is_in_scope() -> None:
    """False and NULL are out; misfits of records that are out do not count."""
    case = Case(
        {"id": "bigint", "x": "integer", "name": "text"}, {"id": "bigint", "name": "text(2)"},
        "where: x <> 9\nfields: {name: name}",
    )  # fmt: skip
    mapped = case.map((1, 1, "ok"), (2, 9, "too long"), (3, None, "ok"), (4, 2, "too long"))
    assert mapped.in_scope.tolist() == [True, False, False, True]
    assert [misfit.row for misfit in mapped.misfits] == [3]


def test_a_record_whose_condition_cannot_be_told_is_never_taken_for_gone() -> None:
    """A misfit of the source in a column of `where`, or an error in it, keeps the record in scope,
    as a misfit.
    """
    case = Case({"id": "bigint", "x": "integer"}, {"id": "bigint"}, "where: x <> 9")
    broken = Misfit(1, "x", "does not fit integer", "huge")
    mapped = case.map((1, 9), (2, None), misfits=(broken,))
    assert mapped.in_scope.tolist() == [False, True]
    assert mapped.misfits == (broken,)
    failing = Case(
        {"id": "bigint", "x": "text"}, {"id": "bigint"}, "where: cast(x as integer) <> 9"
    )
    mapped = failing.map((1, "9"), (2, "bad"), (3, "3"))
    assert mapped.in_scope.tolist() == [False, True, True]
    assert [(misfit.row, misfit.field) for misfit in mapped.misfits] == [(1, "where")]


def test_misfits_of_columns_that_nothing_uses_are_left_alone() -> None:
    """A record is a dead letter only for what it was to become."""
    case = Case({"id": "bigint", "x": "text", "c": "timestamptz"}, {"id": "bigint", "y": "text"},
                "fields: {y: x}\ndelta: {cursor: c}")  # fmt: skip
    used, unused = Misfit(0, "x", "no", ""), Misfit(0, "c", "no", "")
    assert case.map((1, None, None), misfits=(used, unused)).misfits == (used,)


def test_a_null_in_the_key_is_a_misfit() -> None:
    """A record without a key can't be found again."""
    mapped = Case(
        {"id": "bigint", "x": "text"}, {"id": "text(2)", "y": "text"}, "fields: {y: x}"
    ).map((None, "a"), (7, "b"), (777, "c"))
    assert [(m.row, m.field, m.reason) for m in mapped.misfits] == [
        (0, "id", "the key is null"),
        (2, "id", "longer than text(2)"),
    ]
    assert mapped.keys.column("id").to_pylist() == [None, "7", None]


def test_a_lookup_takes_the_value_of_its_key() -> None:
    """Composite keys too; without a match the field is NULL, or its default."""
    case = Case(
        {"id": "bigint", "a": "integer", "b": "text"},
        {"id": "bigint", "name": "text", "rank": "integer"},
        "fields:\n"
        "  name: {lookup: r, match: [a, b], take: name, default: '?'}\n"
        "  rank: {lookup: r, match: [a, b], take: rank}\n"
        "lookups: {r: {connection: crm, table: r, key: [k1, k2]}}\n",
        lookups={"r": {"k1": "bigint", "k2": "text", "name": "text", "rank": "integer"}},
    )
    case.crm.put("r", {"k1": 1, "k2": "x", "name": "one x", "rank": 5})
    case.crm.put("r", {"k1": 2, "k2": "x", "name": "two x", "rank": None})
    mapped = case.map(*((n, n % 4, "x" if n % 2 == 0 or n < 5 else None) for n in range(1, 101)))
    expected = {1: "one x", 2: "two x"}
    for n, name, rank in zip(
        range(1, 101), *(c.to_pylist() for c in mapped.fields.columns), strict=True
    ):
        matches = n % 2 == 0 or n < 5
        assert name == (expected.get(n % 4, "?") if matches else "?")
        assert rank == (5 if n % 4 == 1 and matches else None)


def test_two_fields_may_use_one_lookup_by_different_columns() -> None:
    """Each set of matched columns is a join of its own."""
    case = Case(
        {"id": "bigint", "home": "integer", "work": "integer"},
        {"id": "bigint", "home": "text", "work": "text"},
        "fields:\n"
        "  home: {lookup: r, match: home, take: name}\n"
        "  work: {lookup: r, match: work, take: name}\n"
        "lookups: {r: {connection: crm, table: r, key: k}}\n",
        lookups={"r": {"k": "integer", "name": "text"}},
    )
    case.crm.put("r", {"k": 1, "name": "one"})
    case.crm.put("r", {"k": 2, "name": "two"})
    assert case.map((1, 1, 2), (2, 2, None)).fields.to_pylist() == [
        {"home": "one", "work": "two"},
        {"home": "two", "work": None},
    ]


def test_a_lookup_says_when_what_it_holds_has_changed() -> None:
    """Its digest depends on its records and not on their order."""

    def digest(*regions: tuple[int, str]) -> str:
        case = Case(
            {"id": "bigint", "a": "integer"}, {"id": "bigint", "name": "text"},
            "fields: {name: {lookup: r, match: a, take: name}}\n"
            "lookups: {r: {connection: crm, table: r, key: k}}\n",
            lookups={"r": {"k": "integer", "name": "text"}},
        )  # fmt: skip
        for key, name in regions:
            case.crm.put("r", {"k": key, "name": name})
        with case.bound.mapper() as mapper:
            return mapper.lookup_digests["r"]

    assert digest((1, "a"), (2, "b")) == digest((2, "b"), (1, "a"))
    assert digest((1, "a"), (2, "b")) != digest((1, "b"), (2, "a"))
    assert digest((1, "a")) != digest()


def test_columns_that_are_only_copied_are_not_copied_in_memory() -> None:
    """The target's column is the source's own buffer."""
    bound = Case(
        {"id": "bigint", "x": "text"}, {"id": "bigint", "y": "text"}, "fields: {y: x}"
    ).bound
    records = pa.table({"id": pa.array([1], pa.int64()), "x": pa.array(["a"])})
    with bound.mapper() as mapper:
        mapped = mapper.map(SourceBatch(records, (), ""))
    buffer = mapped.fields.column("y").chunk(0).buffers()[2]
    assert buffer.address == records.column("x").chunk(0).buffers()[2].address


def test_names_that_differ_only_in_case_are_two_columns() -> None:
    """DuckDB does not tell them apart; a mapping does."""
    case = Case(
        {"id": "bigint", "Name": "text", "name": "text"}, {"id": "bigint", "y": "text"},
        "fields: {y: '\"Name\" || ''/'' || name'}",
    )  # fmt: skip
    assert case.map((1, "A", "b")).fields.column("y").to_pylist() == ["A/b"]


def test_f36_hostile_names_are_only_names() -> None:
    """Quotes and statements in the names of columns and fields do nothing."""
    name = 'x"; DROP TABLE y; --'
    case = Case({"id": "bigint", name: "text"}, {"id": "bigint", name: "text"},
                "fields: {'x\"; DROP TABLE y; --': {sql: 'upper(\"x\"\"; DROP TABLE y; --\")'}}")  # fmt: skip
    assert case.map((1, "a")).fields.column(name).to_pylist() == ["A"]


@pytest.fixture(scope="module")
def joining() -> Case:
    return Case(
        {"id": "bigint", "s": "text", "n": "integer"}, {"id": "bigint", "y": "text", "z": "bigint"},
        "fields: {y: \"s || '/' || n\", z: 'coalesce(n, 0)::bigint + 1'}",
    )  # fmt: skip


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.text()), st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1))
        )
    )
)
def test_f34_any_text_and_number_comes_through_as_python_would_have_it(
    joining: Case, records: list[tuple[str | None, int | None]]
) -> None:
    """Whatever the values, in whatever order: concatenation, NULL and alignment are exact."""
    case = joining
    mapped = case.map(*((index, *record) for index, record in enumerate(records)))
    assert mapped.misfits == ()
    assert mapped.keys.column("id").to_pylist() == list(range(len(records)))
    joined = [None if s is None or n is None else f"{s}/{n}" for s, n in records]
    assert mapped.fields.column("y").to_pylist() == joined
    assert mapped.fields.column("z").to_pylist() == [(n or 0) + 1 for _, n in records]
