"""Checksums that PostgreSQL computes, of a table's records or of a ledger's keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyarrow as pa

from syncline.endpoints.digest import DigestSpec
from syncline.endpoints.digest_sql import MEMBERS, SUMS, Piece, Spelling
from syncline.endpoints.postgres_catalog import PgTable, require
from syncline.endpoints.postgres_read import column_sql, pushed
from syncline.endpoints.postgres_session import Pool, Session
from syncline.endpoints.postgres_source import READ_NOW, snapshot
from syncline.endpoints.postgres_sql import conjunction, literal
from syncline.endpoints.postgres_types import Native
from syncline.errors import RunFailed
from syncline.record import Type

# MD5 is not there where the server is bound to FIPS 140.
ABLE: Final = "SELECT current_setting('server_encoding') AS encoding, md5('') AS print"
ROWS: Final = "SELECT {group} AS g, {key} AS k, {print} AS h FROM {table} AS t{where}"
OF_GROUPS: Final = "{members} JOIN unnest(CAST({groups} AS bigint[])) AS w(g) ON w.g = d.g"
_HINT: Final = 4 << 20
_YEARS: Final = {
    "date": "{c} BETWEEN '0001-01-01' AND '9999-12-31'",
    "timestamp": "{c} >= '0001-01-01' AND {c} < '10000-01-01'",
    "timestamptz": "{c} >= '0001-01-01Z' AND {c} < '10000-01-01Z'",
    "time": "{c} < '24:00'",
}
_WRITTEN: Final = {
    "date": "{c}::text",
    "timestamp": "to_char({c}, 'YYYY-MM-DD HH24:MI:SS.US')",
    "timestamptz": "to_char({c} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
    "time": "to_char({c}, 'HH24:MI:SS.US')",
}
_PLAIN: Final = {
    "smallint": "{c}::text",
    "integer": "{c}::text",
    "bigint": "{c}::text",
    "uuid": "{c}::text",
    "bool": "CASE WHEN {c} THEN '1' WHEN NOT {c} THEN '0' END",
    "bytes": "encode({c}, 'hex')",
}

_AS_TEXT: Final = {"smallint", "integer", "bigint", "uuid"}


class PostgresSpelling(Spelling):
    """See `Spelling`."""

    total = "sum(h)::text"

    def joined(self, parts: Sequence[str]) -> str:
        """See `Spelling.joined`."""
        return f"({' || '.join(parts)})"

    def length(self, text: str) -> str:
        """See `Spelling.length`."""
        return f"length({text})::text"

    def quoted(self, text: str) -> str:
        """See `Spelling.quoted`."""
        return f"to_json({text})::text"

    def print_of(self, text: str) -> str:
        """See `Spelling.print_of`."""
        return f"('x' || md5({text}))::bit(64)::bigint"

    def number_text(self, number: str) -> str:
        """See `Spelling.number_text`."""
        return f"({number})::text"

    def block(self, number: str) -> str:
        """See `Spelling.block`."""
        return f"(({number})::bigint >> 4) & 2147483647"


SPELLING: Final = PostgresSpelling()


class PostgresDigest:
    """See `base.Digest`: `of(groups)` is the query of the rows, `stream` runs one."""

    def __init__(
        self, of: Callable[[int], str], stream: Callable[[str], Iterator[pa.Table]]
    ) -> None:
        self._of, self._stream = of, stream

    def sums(self, groups: int) -> pa.Table:
        """See `base.Digest.sums`."""
        found = list(self._stream(SUMS.format(total=SPELLING.total, rows=self._of(groups))))
        empty = pa.table({"g": pa.array([], "int64"), "n": [], "h": []})
        return pa.concat_tables(found) if found else empty

    def members(self, groups: int, which: Sequence[int] | None) -> Iterator[pa.Table]:
        """See `base.Digest.members`."""
        query = MEMBERS.format(rows=self._of(groups))
        if which is not None:
            numbers = literal("{" + ",".join(map(str, which)) + "}")
            query = OF_GROUPS.format(members=query, groups=numbers)
        yield from self._stream(query)


def table_digest(pool: Pool, spec: DigestSpec) -> PostgresDigest | str:
    """See `Source.digest`."""
    with pool.session(READ_NOW) as session:
        why = _why_not(session) or _query(require(session, spec.table), spec, 256)[1]
    if why:
        return why

    def stream(query: str) -> Iterator[pa.Table]:
        with snapshot(pool, spec.table) as (session, _):
            yield from _tables(session, query)

    def rows(groups: int) -> str:
        with pool.session(READ_NOW) as session:
            return _query(require(session, spec.table), spec, groups)[0]

    return PostgresDigest(rows, stream)


def ledger_digest(session: Session, table: str, *, whole: bool) -> PostgresDigest | None:
    """See `Transaction.ledger_digest`; `table` is quoted."""
    if _why_not(session):
        return None
    text = SPELLING.key([Piece("t.k", "t.k")], whole=whole)

    def rows(groups: int) -> str:
        return ROWS.format(
            group=SPELLING.group("t.k", groups, whole=whole),
            key="t.k",
            print=SPELLING.print_of(text),
            table=table,
            where=conjunction(["t.gone & 1 = 0"]),
        )

    return PostgresDigest(rows, lambda query: _tables(session, query))


def _tables(session: Session, query: str) -> Iterator[pa.Table]:
    return (pa.Table.from_batches([batch]) for batch in session.stream(query, _HINT))


def _why_not(session: Session) -> str:
    try:
        ((encoding, _),) = session.rows(ABLE)
    except RunFailed as error:
        return f"the server computes no MD5 ({error})"
    return "" if encoding == "UTF8" else f"its texts are in {encoding}, not in UTF8"


def _query(table: PgTable, spec: DigestSpec, groups: int) -> tuple[str, str]:
    """The query of the rows' groups, keys and prints, and why there is none."""
    pieces: dict[str, Piece] = {}
    for name, type_ in {**spec.key, **spec.fields}.items():
        native = table.native(name)
        sql = _text(native, column_sql(name), type_, spec.odd)
        if sql is None:
            return "", f"{name} is {native.declared}, which has no text shared with other databases"
        if name in spec.key and table.info.columns[name].nullable:
            return "", f"the key's {name} may be NULL"
        pieces[name] = Piece(sql, column_sql(name), free=type_.name == "text")
    number = column_sql(next(iter(spec.key)))
    key = SPELLING.key([pieces[name] for name in spec.key], whole=spec.whole)
    fields = [pieces[name] for name in spec.fields]
    query = ROWS.format(
        group=SPELLING.group(number if spec.whole else key, groups, whole=spec.whole),
        key=f"{number}::bigint" if spec.whole else key,
        print=SPELLING.print_of(SPELLING.record(key, fields) if fields else key),
        table=table.sql,
        where=conjunction(pushed(spec.filters, table)),
    )
    return query, ""


def _text(native: Native, column: str, type_: Type, odd: str) -> str | None:
    """The SQL of a value's text; None where its type has none."""
    own = native.canonical().name
    if native.is_array or own != type_.name:
        is_copy = type_.name == "text" and not native.is_array and own in _AS_TEXT
        return native.select(column, type_) if is_copy else None
    if own == "text":
        return native.select(column, type_)
    c = f"{column}::{native.cast}" if native.is_domain else column
    mark = literal(odd)
    if type_.name in _PLAIN:
        return _PLAIN[type_.name].format(c=c)
    if type_.name == "decimal":
        # NaN and the infinities are the only ones with letters; `numeric` itself holds them.
        number = f"trim_scale({c}::numeric)::text"
        for word in () if type_.is_unbounded_decimal else ("NaN", "Infinity"):
            number = f"replace({number}, '{word}', {literal(odd + word)})"
        return number
    if type_.name not in _YEARS:
        return None
    inside, written = _YEARS[type_.name].format(c=c), _WRITTEN[type_.name].format(c=c)
    return f"CASE WHEN {inside} THEN {written} ELSE {mark} || {c}::text END"
