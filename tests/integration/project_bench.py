"""A project in a folder with a source and a target of any kind, and hands that edit both as their
own users would.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from syncline.project import Project
from syncline.sync import RunOptions, RunSummary, run

_NUMBERS = itertools.count()
COLUMNS = ("id", "name", "city", "amount", "active", "born", "updated_at")
_DDL = {
    "postgres": "id bigint primary key, name text, city text, amount numeric(14,2), "
    "active boolean, born date, updated_at timestamptz",
    "mariadb": "id bigint primary key, name text, city text, amount decimal(14,2), "
    "active boolean, born date, updated_at datetime(6)",
    "sqlite": "id bigint primary key, name text, city text, amount decimaltext(14,2), "
    "active boolean, born date, updated_at timestamptz",
}
_PLACE_AND_KEY = {True: ("collection", "_id"), False: ("table", "id")}
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
DELTA = "delta: {cursor: updated_at}\n"
FIELDS = """\
  name: name
  city: city
  amount: amount
  active: active
  born: born
  updated_at: updated_at
"""


def person(key: int, **changes: Any) -> dict[str, Any]:
    """A record with something of every common type; its clock moves with its key."""
    record = {
        "id": key,
        "name": f"Person {key}",
        "city": "Rome" if key % 3 else None,
        "amount": Decimal(key * 7) / 100,
        "active": key % 2 == 0,
        "born": dt.date(1970, 1, 1) + dt.timedelta(days=key),
        "updated_at": START + dt.timedelta(seconds=key),
    }
    return record | changes


def now() -> dt.datetime:
    """The present, in the milliseconds that every database keeps: what an application stamps its
    edits with.
    """
    instant = dt.datetime.now(dt.UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _sqlite_form(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


class Side:
    """One database, edited as its own users edit it: by SQL, or by the MongoDB driver."""

    def __init__(self, kind: str, url: str, table: str) -> None:
        self.kind, self.url, self.table = kind, url, table
        if kind == "mongo":
            import pymongo
            from bson.codec_options import CodecOptions

            name = url.rsplit("/", 1)[1].split("?", maxsplit=1)[0]
            self._client: Any = pymongo.MongoClient(url)
            self.documents: Any = self._client[name].get_collection(
                table, codec_options=CodecOptions(tz_aware=True)
            )
            return
        driver = {"postgres": "postgresql+psycopg", "mariadb": "mysql+pymysql", "sqlite": "sqlite"}[
            kind
        ]
        # On a busy machine SQLite's usual five seconds are too short for a writer among readers.
        patience = {"timeout": 60} if kind == "sqlite" else {}
        self.engine = sa.create_engine(f"{driver}:{url.split(':', 1)[1]}", connect_args=patience)

    def create(self, options: str = "") -> None:
        """Make the table, empty, with these options behind its columns."""
        if self.kind != "mongo":
            self.sql(f"create table {self.table} ({_DDL[self.kind]}){options}")

    def sql(self, statement: str, **values: Any) -> Any:
        """Run one statement and commit."""
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return result.all() if result.returns_rows else None

    def put(self, *records: Mapping[str, Any]) -> None:
        """Insert records."""
        if self.kind == "mongo":
            self.documents.insert_many([self._document(record) for record in records])
            return
        names = list(records[0])
        columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
        statement = f"insert into {self.table} ({columns}) values ({values})"
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), [self._row(record) for record in records])

    def edit(self, key: int, **changes: Any) -> None:
        """Change fields of one record."""
        if self.kind == "mongo":
            document = self._document({"id": key} | changes)
            document.pop("_id")
            assert self.documents.update_one({"_id": key}, {"$set": document}).matched_count == 1
            return
        sets = ", ".join(f"{name} = :{name}" for name in changes)
        self.sql(f"update {self.table} set {sets} where id = :id", id=key, **self._row(changes))

    def remove(self, *keys: int) -> None:
        """Delete records."""
        for key in keys:
            if self.kind == "mongo":
                self.documents.delete_one({"_id": key})
            else:
                self.sql(f"delete from {self.table} where id = :id", id=key)

    def rows(self) -> dict[int, dict[str, Any]]:
        """All records, in one form whatever the database."""
        if self.kind == "mongo":
            found = [document | {"id": document["_id"]} for document in self.documents.find()]
        else:
            found = [dict(row._mapping) for row in self.sql(f"select * from {self.table}")]
        return {row["id"]: {name: _plain(row.get(name), name) for name in COLUMNS} for row in found}

    def close(self) -> None:
        """Give back the connections."""
        if self.kind == "mongo":
            self._client.close()
        else:
            self.engine.dispose()

    def _row(self, record: Mapping[str, Any]) -> dict[str, Any]:
        if self.kind == "sqlite":
            return {name: _sqlite_form(value) for name, value in record.items()}
        return dict(record)

    def _document(self, record: Mapping[str, Any]) -> dict[str, Any]:
        from bson import Decimal128

        document = {("_id" if name == "id" else name): value for name, value in record.items()}
        for name, value in document.items():
            if isinstance(value, Decimal):
                document[name] = Decimal128(value)
            elif isinstance(value, dt.date) and not isinstance(value, dt.datetime):
                document[name] = value.isoformat()
        return document


def _plain(value: Any, name: str) -> Any:
    """A value in the form that `person` gives it."""
    if value is None:
        return None
    if name == "amount":
        return Decimal(str(value)).quantize(Decimal("0.01"))
    if name == "active":
        return bool(value)
    if name == "born":
        return dt.date.fromisoformat(str(value)[:10])
    if name == "updated_at":
        instant = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
        return instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)
    return value


class ProjectBench:
    """A project with one mapping, `people`, from one side to the other."""

    def __init__(self, folder: Path, source: Side, target: Side, **parts: str) -> None:
        self.folder, self.source, self.target = folder, source, target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mappings").mkdir(exist_ok=True)
        (folder / "connections.yaml").write_text(
            "connections:\n  from_here: ${FROM_URL}\n  to_there: ${TO_URL}\n"
        )
        (folder / ".env").write_text(f"FROM_URL={source.url}\nTO_URL={target.url}\n")
        self.name = "people"
        self.write(**parts)

    def write(self, *, fields: str = FIELDS, rest: str = "", name: str | None = None) -> None:
        """Write the mapping's file."""
        source, target = self.source, self.target
        source_place, source_key = _PLACE_AND_KEY[source.kind == "mongo"]
        target_place, target_key = _PLACE_AND_KEY[target.kind == "mongo"]
        create = "" if target.kind == "mongo" else ", create: true"
        text = (
            f"source: {{connection: from_here, {source_place}: {source.table}}}\n"
            f"target: {{connection: to_there, {target_place}: {target.table}{create}}}\n"
            f"key: {{{target_key}: {source_key}}}\n"
            f"fields:\n{fields}{rest}"
        )
        (self.folder / "mappings" / f"{name or self.name}.yaml").write_text(text)

    @property
    def project(self) -> Project:
        """The project, as the CLI would find it."""
        return Project.find(explicit=self.folder)

    def run(self, **options: Any) -> RunSummary:
        """`syncline run people`."""
        return run(self.project, self.name, RunOptions(**options))


Make = Callable[..., ProjectBench]
"""Makes a project from one SQLite file to another: `make(count, rest=.., fields=..)`."""
SQL = ("sqlite", "postgres", "mariadb")


def everywhere(kinds: Iterable[str] = (*SQL, "mongo")) -> pytest.MarkDecorator:
    """The test's `make` for each of the databases, from one of them to another of its kind; those
    on servers are `slow`.
    """
    pairs = [
        pytest.param((kind, kind), id=kind, marks=[pytest.mark.slow, getattr(pytest.mark, kind)])
        if kind != "sqlite"
        else pytest.param((kind, kind), id=kind)
        for kind in kinds
    ]
    return pytest.mark.parametrize("make", pairs, indirect=True)


def in_step(bench: ProjectBench) -> bool:
    """Whether the target has exactly the source's records."""
    return bench.target.rows() == bench.source.rows()
