"""Plain drivers by which the tests of fidelity write a source and read a target."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pymongo
import pymysql
from bson.codec_options import CodecOptions, DatetimeConversion

from tests.fidelity.cases import Case

Rows = dict[int, dict[str, Any]]
_DOCUMENTS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    uuid_representation=4,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


class Hand:
    """One database, by its plain driver. `native` says how a column is made for a case."""

    kind = ""

    def fill(self, table: str, cases: Sequence[Case]) -> dict[int, tuple[Case, Any]]:
        """Make the table with a column for each case and a row for each value, plus one of NULLs;
        says which row holds what.
        """
        held = {
            number: (case, value)
            for number, (case, value) in enumerate(
                ((case, value) for case in cases for value in case.values), start=1
            )
        }
        self.make(table, cases)
        self.put(table, held)
        return held

    def make(self, table: str, cases: Sequence[Case]) -> None:
        raise NotImplementedError

    def put(self, table: str, held: Mapping[int, tuple[Case, Any]]) -> None:
        raise NotImplementedError

    def rows(self, table: str) -> Rows:
        """Every row by its `id`, as the driver gives it."""
        raise NotImplementedError

    def put_keys(self, table: str, keys: Sequence[str]) -> None:
        """Make a table of two columns: texts that are its key `k` (`_id`), and their number `n`."""
        raise NotImplementedError

    def keys(self, table: str) -> dict[str, int]:
        """What such a table holds."""
        raise NotImplementedError


class PostgresHand(Hand):
    """Reads every column as the text that the server writes of it."""

    kind = "postgres"

    def __init__(self, url: str) -> None:
        self.url = url

    def make(self, table: str, cases: Sequence[Case]) -> None:
        columns = ", ".join(f'"{case.name}" {case.native}' for case in cases)
        with psycopg.connect(self.url) as session:
            if any(case.native == "mood" for case in cases):
                session.execute("create type mood as enum ('sad', 'so so')")
            session.execute(f'create table "{table}" (id bigint primary key, {columns})'.encode())

    def put(self, table: str, held: Mapping[int, tuple[Case, Any]]) -> None:
        with psycopg.connect(self.url) as session, session.cursor() as cursor:
            cursor.execute(f'insert into "{table}" (id) values (0)'.encode())
            for number, (case, value) in held.items():
                statement = (
                    f'insert into "{table}" (id, "{case.name}")'
                    f" values (%s, cast(%s::text as {case.native}))"
                )
                cursor.execute(statement.encode(), (number, value))

    def rows(self, table: str) -> Rows:
        with psycopg.connect(self.url) as session:
            session.execute("set timezone = 'UTC'; set intervalstyle = 'iso_8601'")
            names = [
                name
                for (name,) in session.execute(
                    "select attname from pg_attribute where attrelid = %s::regclass"
                    " and attnum > 0 and not attisdropped and attname <> 'id'",
                    (f'"{table}"',),
                )
            ]
            # A host's own text; a cast would add the mask /32 that nobody wrote. Arrays as JSON.
            types = dict(
                session.execute(
                    "select attname, format_type(atttypid, null) from pg_attribute"
                    " where attrelid = %s::regclass and attnum > 0",
                    (f'"{table}"',),
                ).fetchall()
            )
            shown = ", ".join(_postgres_text(name, types[name]) for name in names)
            query = f'select id, {shown} from "{table}"'
            found = session.execute(query.encode())
            return {row[0]: dict(zip(names, row[1:], strict=True)) for row in found}

    def put_keys(self, table: str, keys: Sequence[str]) -> None:
        with psycopg.connect(self.url) as session, session.cursor() as cursor:
            cursor.execute(f'create table "{table}" (k text primary key, n bigint)'.encode())
            insert = f'insert into "{table}" values (%s, %s)'
            cursor.executemany(insert.encode(), [(key, n) for n, key in enumerate(keys)])

    def keys(self, table: str) -> dict[str, int]:
        with psycopg.connect(self.url) as session:
            return dict(session.execute(f'select k, n from "{table}"'.encode()).fetchall())


def _postgres_text(name: str, type_: str) -> str:
    if type_ == "inet":
        return f"""nullif(concat("{name}"), '')"""
    if type_.endswith("[]"):
        return (
            f'case when array_lower("{name}", 1) <> 1 then "{name}"::text'
            f' else to_json("{name}")::text end'
        )
    return f'"{name}"::numeric::text' if type_ == "money" else f'"{name}"::text'


class MariadbHand(Hand):
    """Writes as a session that is not strict, reads what the server says."""

    kind = "mariadb"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.options: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or 3306,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "database": parts.path.lstrip("/"),
            "charset": "utf8mb4",
            "conv": {},  # what the server says, as it says it
            "autocommit": True,
        }

    def make(self, table: str, cases: Sequence[Case]) -> None:
        columns = ", ".join(f"`{case.name}` {case.native}" for case in cases)
        self._run([f"create table `{table}` (id bigint primary key, {columns})"])

    def put(self, table: str, held: Mapping[int, tuple[Case, Any]]) -> None:
        # Zero dates are among what applications left behind: the writer is not strict, we are.
        lax = ["set sql_mode = ''", f"insert into `{table}` (id) values (0)"]
        inserts = [
            f"insert into `{table}` (id, `{case.name}`) values ({number}, {value})"
            for number, (case, value) in held.items()
        ]
        self._run([*lax, *inserts])

    def rows(self, table: str) -> Rows:
        with closing(pymysql.connect(**self.options)) as session, session.cursor() as cursor:
            cursor.execute("set time_zone = '+00:00'")
            cursor.execute(f"show columns from `{table}`")
            columns = {row[0]: row[1] for row in cursor.fetchall() if row[0] != "id"}
            shown = ", ".join(_mariadb_text(name, native) for name, native in columns.items())
            cursor.execute(f"select id, {shown} from `{table}`")
            return {
                int(row[0]): dict(zip(columns, row[1:], strict=True)) for row in cursor.fetchall()
            }

    def put_keys(self, table: str, keys: Sequence[str]) -> None:
        # No pad: `a` and `a ` are two keys.
        text = "varchar(300) character set utf8mb4 collate utf8mb4_nopad_bin"
        self._run([
            f"create table `{table}` (k {text} primary key, n bigint)",
            *(
                f"insert into `{table}` values"
                f" (convert(x'{key.encode().hex()}' using utf8mb4), {n})"
                for n, key in enumerate(keys)
            ),
        ])  # fmt: skip

    def keys(self, table: str) -> dict[str, int]:
        with closing(pymysql.connect(**self.options)) as session, session.cursor() as cursor:
            cursor.execute(f"select k, n from `{table}`")
            return {key: int(n) for key, n in cursor.fetchall()}

    def _run(self, statements: Iterable[str]) -> None:
        with closing(pymysql.connect(**self.options)) as session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def _mariadb_text(name: str, native: str) -> str:
    if native.startswith(("float", "double")):
        return f"`{name}` + 0e0"
    return f"`{name}` + 0" if native.startswith("bit") else f"`{name}`"


class SqliteHand(Hand):
    """Reads what is stored, whatever is declared."""

    kind = "sqlite"

    def __init__(self, url: str) -> None:
        self.path = url.removeprefix("sqlite:///")

    def make(self, table: str, cases: Sequence[Case]) -> None:
        columns = ", ".join(f'"{case.name}" {case.native}' for case in cases)
        with closing(sqlite3.connect(self.path)) as session:
            session.execute(f'create table "{table}" (id integer primary key, {columns})')

    def put(self, table: str, held: Mapping[int, tuple[Case, Any]]) -> None:
        with closing(sqlite3.connect(self.path)) as session:
            session.execute(f'insert into "{table}" (id) values (0)')
            for number, (case, value) in held.items():
                session.execute(
                    f'insert into "{table}" (id, "{case.name}") values ({number}, {value})'
                )
            session.commit()

    def rows(self, table: str) -> Rows:
        with closing(sqlite3.connect(self.path)) as session:
            session.text_factory = lambda data: data.decode(errors="surrogateescape")
            found = session.execute(f'select * from "{table}"')
            names = [each[0] for each in found.description]
            rows = [dict(zip(names, row, strict=True)) for row in found]
        return {row.pop("id"): row for row in rows}

    def put_keys(self, table: str, keys: Sequence[str]) -> None:
        with closing(sqlite3.connect(self.path)) as session:
            session.execute(f'create table "{table}" (k text primary key not null, n integer)')
            insert = f'insert into "{table}" values (?, ?)'
            session.executemany(insert, [(key, n) for n, key in enumerate(keys)])
            session.commit()

    def keys(self, table: str) -> dict[str, int]:
        with closing(sqlite3.connect(self.path)) as session:
            return dict(session.execute(f'select k, n from "{table}"').fetchall())


class MongoHand(Hand):
    """Documents as the driver gives them."""

    kind = "mongo"

    def __init__(self, url: str) -> None:
        self.url = url

    def make(self, table: str, cases: Sequence[Case]) -> None:
        del table, cases  # documents need no column

    def put(self, table: str, held: Mapping[int, tuple[Case, Any]]) -> None:
        documents = [{"_id": n, case.name: value} for n, (case, value) in held.items()]
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            database = client.get_default_database(codec_options=_DOCUMENTS)
            database[table].insert_many([{"_id": 0}, *documents])

    def rows(self, table: str) -> Rows:
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            database = client.get_default_database(codec_options=_DOCUMENTS)
            return {document.pop("_id"): document for document in database[table].find()}

    def put_keys(self, table: str, keys: Sequence[str]) -> None:
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            documents = [{"_id": key, "n": n} for n, key in enumerate(keys)]
            client.get_default_database()[table].insert_many(documents)

    def keys(self, table: str) -> dict[str, int]:
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            found = client.get_default_database()[table].find()
            return {document["_id"]: document["n"] for document in found}


HANDS = {"postgres": PostgresHand, "mariadb": MariadbHand, "sqlite": SqliteHand, "mongo": MongoHand}
