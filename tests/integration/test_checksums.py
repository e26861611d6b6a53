"""Checksums that databases compute: never equal where a record differs, and nothing moves without
need.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncline import sides
from syncline.compare import VerifyReport
from syncline.digests import held
from syncline.plan import plan
from syncline.run import Opened, opened
from syncline.verify import verify
from tests.conftest import NewDatabase
from tests.integration.project_bench import ProjectBench, Side, in_step, person

PAIRS = [
    pytest.param("postgres", "mariadb"),
    pytest.param("sqlite", "postgres"),
    pytest.param("mariadb", "postgres", marks=pytest.mark.slow),
    pytest.param("postgres", "postgres", marks=pytest.mark.slow),
    pytest.param("mariadb", "sqlite", marks=pytest.mark.slow),
]
LEDGER = "delta: {by: none}\nconflicts: {strategy: source, detect: ledger}\n"
MIRROR = LEDGER + "deletes: {mode: mirror, guard: 100%}\n"
COLUMNS = {
    "t": ("text", "longtext character set utf8mb4 collate utf8mb4_general_ci", "text"),
    "n": ("numeric(20,6)", "decimal(20,6)", "decimaltext(20,6)"),
    "i": ("bigint", "bigint", "bigint"),
    "b": ("boolean", "tinyint(1)", "boolean"),
    "d": ("date", "date", "date"),
    "ts": ("timestamp", "datetime(6)", "timestamp"),
    "bin": ("bytea", "longblob", "blob"),
}
KINDS = ("postgres", "mariadb", "sqlite")
NOON = dt.datetime(2024, 2, 29, 12, 0, 0)  # noqa: DTZ001 - a column without a zone
EDGES: dict[str, list[Any]] = {
    "t": [
        None,
        "",
        " ",
        "a",
        "A",
        "a ",
        "á",
        "a\u0301",
        "~",
        "1:a",
        "a,~",
        "\U0001f600",
        "ß",
        "ss",
    ],
    "n": [None, Decimal(0), Decimal("1.1"), Decimal("1.01"), Decimal("-1.1"), Decimal("0.000001")],
    "i": [None, 0, 1, -1, 10, 2**63 - 1, -(2**63)],
    "b": [None, True, False],
    "d": [None, dt.date(1, 1, 1), dt.date(2024, 2, 29), dt.date(9999, 12, 31)],
    "ts": [None, NOON, NOON.replace(microsecond=1), NOON.replace(1000, 1, 1), NOON.replace(hour=0)],
    "bin": [None, b"", b"\x00", b"a", b"A", b"\xff\xfe"],
}


def _stored(kind: str, value: Any) -> Any:
    if kind != "sqlite":
        return value
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "microseconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


class Table(Side):
    """A table with a column of each type that is spelled."""

    def create(self) -> None:
        place = KINDS.index(self.kind)
        columns = ", ".join(f"{name} {native[place]}" for name, native in COLUMNS.items())
        key = "integer primary key not null" if self.kind == "sqlite" else "bigint primary key"
        self.sql(f"create table {self.table} (id {key}, {columns})")

    def put(self, *records: Any) -> None:
        names = ", ".join(["id", *COLUMNS])
        marks = ", ".join(f":{name}" for name in ["id", *COLUMNS])
        for record in records:
            row = {"id": record["id"]} | {
                name: _stored(self.kind, record.get(name)) for name in COLUMNS
            }
            self.sql(f"insert into {self.table} ({names}) values ({marks})", **row)

    def plant(self, key: int, name: str, value: Any) -> None:
        """Give one field another value, behind syncline's back."""
        stored = _stored(self.kind, value)
        self.sql(f"update {self.table} set {name} = :value where id = :id", id=key, value=stored)


Make = Callable[..., ProjectBench]


@pytest.fixture
def edges(new_database: NewDatabase, tmp_path: Path) -> Make:
    """Makes a project whose source has every edge of every type, and has been synced."""

    def made(source: str, target: str) -> ProjectBench:
        here, there = (
            Table(source, new_database(source), "edges"),
            Side(target, new_database(target), "edges_copy"),
        )
        here.create()
        there = Table(target, there.url, "edges_copy")
        there.create()
        here.put(
            *(
                {"id": key, **dict(zip(COLUMNS, values, strict=True))}
                for key, values in enumerate(itertools.zip_longest(*EDGES.values()))
            )
        )
        fields = "".join(f"  {name}: {name}\n" for name in COLUMNS)
        bench = ProjectBench(tmp_path, here, there, rest=LEDGER, fields=fields)
        bench.run()
        return bench

    return made


def look(bench: ProjectBench, **options: Any) -> VerifyReport:
    return verify(bench.project, bench.name, pause=0, **options)


def told(report: VerifyReport) -> dict[str, Any]:
    """What both ways must say alike."""
    shown = report.as_dict()
    apart = ("run_id", "by", "why", "travelled", "seconds", "rows_per_second")
    return {name: value for name, value in shown.items() if name not in apart}


def listed(keys: Iterator[Any]) -> list[int]:
    """Keys in one list."""
    return [key for some in keys for key in some.to_pylist()]


def differing(run: Opened) -> list[int]:
    """The keys of the records whose checksums differ."""
    both = sides.records(run)
    assert not isinstance(both, str)
    with held(*both, whole=True, estimate=None) as found:
        return sorted(listed(found.differing(extra=True)))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_equal_records_are_equal_by_checksum_and_none_of_them_travels(
    edges: Make, source: str, target: str
) -> None:
    """Every edge of every type is spelled alike by both databases."""
    bench = edges(source, target)
    report = look(bench)
    assert (report.by, report.why, report.status) == ("checksums", "", "equal")
    assert report.equal == report.read == max(map(len, EDGES.values()))
    if "sqlite" not in (source, target):
        assert report.travelled == 0
    assert told(report) == told(look(bench, each=True))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_planted_difference_between_edges_is_found(
    edges: Make, source: str, target: str
) -> None:
    """For each type, each value against each other: different by checksum, in just that field."""
    bench = edges(source, target)
    assert isinstance(bench.target, Table)
    missed: list[Any] = []
    with opened(bench.project, bench.name) as run:
        for name, values in EDGES.items():
            for shift in range(1, len(values)):
                for key in range(len(values)):
                    bench.target.plant(key, name, values[(key + shift) % len(values)])
                if differing(run) != list(range(len(values))):
                    missed.append((name, shift, differing(run)))
            for key, value in enumerate(values):
                bench.target.plant(key, name, value)
        assert (missed, differing(run)) == ([], [])


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_values_that_a_type_cannot_hold_equal_nothing(
    new_database: NewDatabase, tmp_path: Path, kind: str
) -> None:
    """An infinity or a day that is none is a dead letter, not equal to itself on the other side."""
    odd = {
        "postgres": [
            ("date", "'infinity'"),
            ("date", "'0044-03-15 BC'"),
            ("numeric(14,2)", "'NaN'"),
        ],
        "mariadb": [("date", "'2024-02-31'"), ("date", "'0000-00-00'"), ("tinyint(1)", "5")],
    }
    for number, (column, value) in enumerate(odd[kind]):
        here, there = (Side(kind, new_database(kind), name) for name in ("a", "b"))
        for side in (here, there):
            side.sql(f"create table {side.table} (id bigint primary key, d {column})")
            loose = "set sql_mode = 'ALLOW_INVALID_DATES'"
            with side.engine.begin() as connection:
                if kind == "mariadb":
                    connection.exec_driver_sql(loose)
                connection.exec_driver_sql(
                    f"insert into {side.table} values (1, {value}), (2, null)"
                )
        bench = ProjectBench(tmp_path / str(number), here, there, rest=LEDGER, fields="  d: d\n")
        report = look(bench)
        assert (report.by, report.equal, report.dead_letters) == ("checksums", 1, 1)
        assert told(report) == told(look(bench, each=True))


def test_what_checksums_find_is_what_comparing_each_record_finds(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Missing, extra, different, the target's own, and late, by both ways alike."""
    here, there = (
        Side(kind, new_database(kind), name)
        for kind, name in (("postgres", "people"), ("mariadb", "people_copy"))
    )
    here.create()
    here.put(*(person(key) for key in range(600)))
    bench = ProjectBench(tmp_path, here, there, rest=MIRROR)
    bench.run()
    there.remove(3, 4)
    there.edit(5, name="person 5")
    there.put(person(9000))
    here.remove(7, 8)
    here.put(person(700))
    report = look(bench)
    assert (report.by, report.missing, report.extra, report.different) == ("checksums", 3, 2, 1)
    assert told(report) == told(look(bench, each=True))
    assert report.travelled < 200


MIXED = [("a", 1), ("A", 1), ('q"\\', 2), ("tab\t\n\x01\x7f", 3), ("/é\U0001f600", -4), ("", 5)]


@pytest.mark.parametrize(("source", "target"), [("postgres", "mariadb"), ("mariadb", "postgres")])
@pytest.mark.parametrize("detect", ["ledger", "none"])
def test_composite_and_text_keys_are_grouped_alike_on_both_sides(
    new_database: NewDatabase, tmp_path: Path, source: str, target: str, detect: str
) -> None:
    """Whatever characters a key has, both databases write it as the ledger does: none travels."""
    text = {"postgres": "text", "mariadb": "varchar(60) character set utf8mb4 collate utf8mb4_bin"}
    here, there = (
        Side(kind, new_database(kind), name) for kind, name in ((source, "a"), (target, "b"))
    )
    for side in (here, there):
        kind = text[side.kind]
        side.sql(f"create table {side.table} (t {kind}, n bigint, v int, primary key (t, n))")
    for place, (t, n) in enumerate(MIXED):
        here.sql("insert into a values (:t, :n, :v)", t=t, n=n, v=place)
    rest = "delta: {by: none}\ndeletes: {mode: mirror, guard: 100%}\n"
    rest += f"conflicts: {{strategy: source, detect: {detect}}}\n"
    rest += "exclusive: true\n" if detect == "none" else ""
    bench = ProjectBench(tmp_path, here, there, rest=rest, fields="  v: v\n")
    mapping = bench.folder / "mappings" / "people.yaml"
    mapping.write_text(mapping.read_text().replace("key: {id: id}", "key: {t: t, n: n}"))
    bench.run()
    assert there.sql("select count(*) from b")[0][0] == len(MIXED)
    with opened(bench.project, bench.name) as run, run.target.begin(run.spec, write=False) as tx:
        assert sides.why_keys_travel(run) == ""
        ours = sides.our_keys(run, tx)
        with held(sides.source_keys(run), ours, whole=False, estimate=None) as found:
            assert (found.source, found.target, found.travelled) == (len(MIXED), len(MIXED), 0)
    here.sql("delete from a where v in (2, 3)")
    assert bench.run().deleted == 2
    assert sorted(v for (v,) in there.sql("select v from b")) == [0, 1, 4, 5]


@pytest.mark.parametrize(
    ("source", "target"), [("postgres", "mariadb"), ("mariadb", "postgres"), ("mongo", "postgres")]
)
def test_f11_only_the_keys_of_groups_that_differ_travel(
    new_database: NewDatabase, tmp_path: Path, source: str, target: str
) -> None:
    """Of 3,000 keys, three of which are gone, some dozens move; MongoDB's own all do, and plan says
    so.
    """
    here, there = (
        Side(kind, new_database(kind), name)
        for kind, name in ((source, "people"), (target, "people_copy"))
    )
    here.create()
    here.put(*(person(key) for key in range(-1500, 1500)))
    bench = ProjectBench(tmp_path, here, there, rest=MIRROR)
    bench.run()
    here.remove(-1500, 3, 1499)
    with opened(bench.project, bench.name) as run, run.target.begin(run.spec, write=False) as tx:
        ours = sides.our_keys(run, tx)
        with held(sides.source_keys(run), ours, whole=True, estimate=None) as found:
            missing = listed(found.missing_at_source())
            assert (found.source, found.target) == (2997, 3000)
            assert found.travelled <= (200 if source != "mongo" else 2997 + 100)
    assert sorted(missing) == [-1500, 3, 1499]
    report = plan(bench.project, bench.name)
    says = "by all keys: those of the source (mongodb computes no checksums)"
    assert report.keys == (says if source == "mongo" else "by checksums of keys")
    assert bench.run().deleted == 3
    assert in_step(bench)


def test_many_differences_are_looked_for_in_smaller_groups(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Where every one of the first groups differs, a second round finds the few keys that do."""
    here, there = (
        Side("postgres", new_database("postgres"), name) for name in ("people", "people_copy")
    )
    for side in (here, there):
        side.create()
        side.sql(f"insert into {side.table} (id) select generate_series(1, 120000)")
    there.sql("delete from people_copy where id % 60 = 0")
    bench = ProjectBench(tmp_path, here, there, rest="delta: {by: none}\n", fields="  city: city\n")
    with opened(bench.project, bench.name) as run:
        both = sides.records(run)
        assert not isinstance(both, str)
        with held(*both, whole=True, estimate=1 << 20) as found:
            assert sorted(listed(found.differing(extra=True))) == list(range(60, 120001, 60))
            assert found.travelled < 100_000
