"""Checksums that MySQL and MariaDB compute, of a table's records or of a ledger's keys.

A `%` is doubled, since every statement is given parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from syncline.endpoints.base import TableInfo
from syncline.endpoints.digest import DigestSpec
from syncline.endpoints.digest_sql import MEMBERS, SUMS, Piece, Spelling
from syncline.endpoints.mysql_dialect import MysqlDialect
from syncline.endpoints.mysql_values import parts
from syncline.endpoints.sql_dialect import Dialect, fields_of
from syncline.endpoints.sql_session import Row, Session
from syncline.endpoints.sql_values import Field

Params = tuple[Any, ...]
Run = Callable[[str, Params], Iterator[list[Row]]]
_ROWS: Final = "SELECT {group} AS g, {key} AS k, {print} AS h FROM {table}{where}"
_FETCHED: Final = 20_000
_INTEGERS: Final = {"smallint", "integer", "bigint"}
# What is no day of the calendar (zeros, 31 February) is no day to add to either.
_REAL_DAY: Final = "DATE_ADD({c}, INTERVAL 0 DAY) = {c} AND {c} >= '0001-01-01'"
_MOMENTS: Final = {
    "date": (_REAL_DAY, "CAST({c} AS CHAR)"),
    "timestamp": (_REAL_DAY, "DATE_FORMAT({c}, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')"),
    "timestamptz": (_REAL_DAY, "DATE_FORMAT({c}, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')"),
    "time": (
        "{c} >= '00:00:00' AND {c} < '24:00:00'",
        "TIME_FORMAT({c}, '%%H:%%i:%%s.%%f')",
    ),
}

_PLAIN: Final = {
    **dict.fromkeys([*_INTEGERS, "uuid", "decimal"], "CAST({c} AS CHAR)"),
    "bool": "CASE {c} WHEN 1 THEN '1' WHEN 0 THEN '0' ELSE CONCAT('{odd}', {c}) END",
    "bytes": "LOWER(HEX({c}))",
}


class MysqlSpelling(Spelling):
    """See `Spelling`."""

    total = "CAST(SUM(h) AS CHAR)"

    def joined(self, parts: Sequence[str]) -> str:
        """See `Spelling.joined`."""
        return f"CONCAT({', '.join(parts)})"

    def length(self, text: str) -> str:
        """See `Spelling.length`."""
        return f"CAST(CHAR_LENGTH({text}) AS CHAR)"

    def quoted(self, text: str) -> str:
        """See `Spelling.quoted`."""
        return f"JSON_QUOTE({text})"

    def print_of(self, text: str) -> str:
        """See `Spelling.print_of`."""
        return f"CAST(CONV(LEFT(MD5({text}), 16), 16, 10) AS UNSIGNED)"

    def number_text(self, number: str) -> str:
        """See `Spelling.number_text`."""
        return f"CAST({number} AS CHAR)"

    def block(self, number: str) -> str:
        """See `Spelling.block`."""
        return f"CAST(FLOOR({number} / 16) AS SIGNED) & 2147483647"


SPELLING: Final = MysqlSpelling()


class MysqlDigest:
    """See `base.Digest`: `of(groups)` is the query of the rows with its parameters."""

    def __init__(self, of: Callable[[int], str], params: Params, run: Run, *, whole: bool) -> None:
        self._of, self._params, self._run, self._whole = of, params, run, whole

    def sums(self, groups: int) -> pa.Table:
        """See `base.Digest.sums`."""
        query = SUMS.format(total=SPELLING.total, rows=self._of(groups))
        rows = [row for some in self._run(query, self._params) for row in some]
        return pa.table(
            {
                "g": pa.array([int(row[0]) for row in rows], pa.int64()),
                "n": pa.array([int(row[1]) for row in rows], pa.int64()),
                "h": pa.array([str(row[2]) for row in rows], pa.string()),
            }
        )

    def members(self, groups: int, which: Sequence[int] | None) -> Iterator[pa.Table]:
        """See `base.Digest.members`."""
        query = MEMBERS.format(rows=self._of(groups))
        if which is not None:
            query += f" WHERE g IN ({', '.join(map(str, which))})"
        for rows in self._run(query, self._params):
            keys = [key.decode() if isinstance(key, bytes) else key for key, _ in rows]
            prints = [signed(int(print_)) for _, print_ in rows]
            kind = pa.int64() if self._whole else pa.string()
            yield pa.table({"k": pa.array(keys, kind), "h": pa.array(prints, pa.int64())})


def streamed(session: Session, dialect: Dialect, query: str, params: Params) -> Iterator[list[Row]]:
    """The rows of a query as the server sends them; a connection left half-way is cut."""
    session.discard()
    stream = session.stream(query, params, dialect.cursor(session))
    while rows := stream.fetch(_FETCHED):
        yield rows
    session.keep()


def signed(number: int) -> int:
    """An unsigned number of 64 bits as a signed one."""
    return number - (1 << 64) if number >= 1 << 63 else number


def table_query(
    dialect: MysqlDialect, info: TableInfo, spec: DigestSpec, where: str
) -> Callable[[int], str] | str:
    """The query of the rows' groups, keys and prints; or why there is none."""
    pieces: dict[str, Piece] = {}
    fields = fields_of(info, {**spec.key, **spec.fields})
    for name, field in fields.items():
        sql = _text(dialect, field, spec.odd)
        if sql is None:
            native = field.column.native
            return f"{name} is {native}, which has no text shared with other databases"
        if name in spec.key and field.column.nullable:
            return f"the key's {name} may be NULL"
        pieces[name] = Piece(sql, dialect.quote(name), free=field.type.name == "text")
    number = dialect.quote(next(iter(spec.key)))
    key = SPELLING.key([pieces[name] for name in spec.key], whole=spec.whole)
    others = [pieces[name] for name in spec.fields]
    text = SPELLING.record(key, others) if others else key
    # A text longer than max_allowed_packet is NULL: it must equal nothing, too.
    print_ = f"COALESCE({SPELLING.print_of(text)}, {int.from_bytes(spec.odd.encode()[:4], 'big')})"

    def of(groups: int) -> str:
        return _ROWS.format(
            group=SPELLING.group(number if spec.whole else key, groups, whole=spec.whole),
            key=number if spec.whole else key,
            print=print_,
            table=dialect.table(info.name),
            where=where,
        )

    return of


def ledger_query(table: str, *, whole: bool) -> Callable[[int], str]:
    """The query of the groups, keys and prints of a ledger whose name is quoted."""
    text = SPELLING.key([Piece("k", "k")], whole=whole)

    def of(groups: int) -> str:
        return _ROWS.format(
            group=SPELLING.group("k", groups, whole=whole),
            key="k",
            print=SPELLING.print_of(text),
            table=table,
            where=" WHERE gone & 1 = 0",
        )

    return of


def _text(dialect: MysqlDialect, field: Field, odd: str) -> str | None:
    """The SQL of a value's text; None where its type has none."""
    c, name, own = dialect.selected(field), field.type.name, field.column.type.name
    if name == "text" and own in {"text", "uuid", *_INTEGERS}:
        # One character set and one collation, or CONCAT would not know which to take.
        return f"CONVERT(CAST({c} AS CHAR) USING utf8mb4) COLLATE utf8mb4_bin"
    if own != name and not (own in _INTEGERS and name in _INTEGERS):
        return None
    if name in _MOMENTS:
        real, written = (part.format(c=c) for part in _MOMENTS[name])
        return f"CASE WHEN {real} THEN {written} ELSE CONCAT('{odd}', {c}) END"
    if name == "decimal" and parts(field.column.native)[1].partition(",")[2] not in {"", "0"}:
        return f"TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM CAST({c} AS CHAR)))"
    written = _PLAIN.get(name)
    return written.format(c=c, odd=odd) if written else None
