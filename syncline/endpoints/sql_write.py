"""A transaction on a SQL target.

Records are written only where they still are as they were classified.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa

from syncline.endpoints.base import (
    ROW,
    Column,
    Fetched,
    Mask,
    Refused,
    TableInfo,
    TargetSpec,
    Written,
)
from syncline.endpoints.bisect import RowsRefused, bisect
from syncline.endpoints.sql_dialect import Dialect, fields_of, is_unique
from syncline.endpoints.sql_ledger import Ledger
from syncline.endpoints.sql_lookup import Found, condition_for, look_up
from syncline.endpoints.sql_read import past
from syncline.endpoints.sql_session import KeyTaken, Row, Session
from syncline.endpoints.sql_values import Bound, Field, column_of
from syncline.record import Misfit, fingerprints

_SCAN_ROWS: Final = 50_000


class SqlTransaction(Ledger):
    """See `base.Transaction`.

    A row is read again and locked in the transaction that writes it, and compared with what the
    caller saw: what moved since is not written. So no lock is taken on rows that are only read.
    """

    atomic = True

    def __init__(
        self,
        session: Session,
        dialect: Dialect,
        spec: TargetSpec,
        info: TableInfo,
        *,
        writes: bool,
    ) -> None:
        super().__init__(session, dialect, spec, writes=writes)
        fields = fields_of(info, {**spec.key, **spec.fields})
        self._info = info
        self._unique = is_unique(info, spec.key)
        self._spec = spec
        self._key = {name: fields[name] for name in spec.key}
        self._fields = {name: fields[name] for name in spec.fields}
        self._target = dialect.table(spec.table)

    # --- reading ---

    def columns(self) -> Mapping[str, Column]:
        """See `base.Transaction.columns`."""
        return self._info.columns

    def is_empty(self) -> bool:
        """See `base.Transaction.is_empty`."""
        return not self._session.rows(f"SELECT 1 FROM {self._target} LIMIT 1")  # noqa: S608 - quoted

    def fetch(self, keys: pa.Table) -> Fetched:
        """See `base.Transaction.fetch`."""
        found = self._seen(keys, lock=False)
        return Fetched(found.rows, found.misfits)

    def scan_keys(self) -> Iterator[pa.Table]:
        """See `base.Transaction.scan_keys`."""
        terms = tuple(
            t for f in self._key.values() for t in self._dialect.terms(f, unique=self._unique)
        )
        select = [self._dialect.selected(f) for f in self._key.values()] + [
            t.selected for t in terms
        ]
        statement = f"SELECT {', '.join(select)} FROM {self._target}"  # noqa: S608 - quoted
        order = f" ORDER BY {', '.join(t.sql for t in terms)} LIMIT {_SCAN_ROWS}"
        where, params = "", list[Any]()
        while rows := self._session.rows(statement + where + order, params):
            columns = list(zip(*rows, strict=True))
            read = [
                self._dialect.read(f, values, key=True)[0]
                for f, values in zip(self._key.values(), columns, strict=False)
            ]
            yield pa.table(dict(zip(self._key, read, strict=True)))
            condition, params = past(self._dialect, terms, rows[-1][len(self._key) :])
            where = f" WHERE {condition}"

    # --- writing ---

    def insert(self, rows: pa.Table) -> Written:
        """See `base.Transaction.insert`."""
        fields = {**self._key, **self._fields}
        names = [name for name in rows.column_names if name in fields]
        values, refused = self._parameters({name: fields[name] for name in names}, rows)
        waiting = [row for row in range(rows.num_rows) if row not in refused]
        columns = ", ".join(map(self._dialect.quote, names))
        statement = (
            f"INSERT INTO {self._target} ({columns}) VALUES ({self._dialect.marks(len(names))})"  # noqa: S608
        )
        landed = self._inserted(statement, values, waiting, rows, refused)
        return Written(landed, _sorted(refused))

    def update(self, rows: pa.Table, changed: Mapping[str, Mask], current: Fetched) -> Written:
        """See `base.Transaction.update`."""
        found = self._seen(rows, lock=True)
        stored = self._unmoved(rows.num_rows, found, current)
        landed = np.zeros(rows.num_rows, np.bool_)
        refused: dict[int, Refused] = {}
        for names, some in _patterns(changed, stored):
            if not names:  # nothing moved: it is as it should be
                landed[some] = True
                continue
            part = rows.take(pa.array(some, pa.int64()))
            values, bad = self._parameters({name: self._fields[name] for name in names}, part)
            good = [row for row in range(len(some)) if row not in bad]

            def attempt(
                span: slice,
                good: list[int] = good,
                names: tuple[str, ...] = names,
                values: list[Row] = values,
                some: list[int] = some,
            ) -> None:
                chosen = good[span]
                keys = [stored[some[row]] for row in chosen]
                with self._session.savepoint():
                    self.write_fields(names, [values[row] for row in chosen], keys)

            for one in bisect(len(good), attempt):
                bad[good[one.row]] = one
            for row, at in enumerate(some):
                landed[at] = row not in bad
            refused |= {some[row]: _at(some[row], one) for row, one in bad.items()}
        return Written(landed, _sorted(refused))

    def delete(self, keys: pa.Table, current: Fetched) -> Written:
        """See `base.Transaction.delete`."""
        found = self._seen(keys, lock=True)
        stored = self._unmoved(keys.num_rows, found, current)
        some = sorted(stored)

        def attempt(span: slice) -> None:
            with self._session.savepoint():
                self._delete([stored[row] for row in some[span]])

        refused = {some[one.row]: _at(some[one.row], one) for one in bisect(len(some), attempt)}
        landed = np.zeros(keys.num_rows, np.bool_)
        landed[[row for row in some if row not in refused]] = True
        return Written(landed, _sorted(refused))

    def all_or_nothing(self) -> AbstractContextManager[None]:
        """See `base.Transaction.all_or_nothing`."""
        return self._session.all_or_nothing()

    def commit(self) -> None:
        """See `base.Transaction.commit`."""
        self._session.run("COMMIT")

    # --- parts ---

    @abstractmethod
    def write_fields(
        self, names: Sequence[str], values: Sequence[Row], keys: Sequence[Row]
    ) -> None:
        """Set these fields of the records that have these keys, as stored. Raises RowsRefused."""

    def _delete(self, keys: Sequence[Row]) -> None:
        step = self._dialect.keys_at_once if len(self._key) == 1 else 200
        for start in range(0, len(keys), step):
            where, params = condition_for(
                self._dialect, self._key, keys[start : start + step], exact=True
            )
            self._session.run(
                f"DELETE FROM {self._target} WHERE {where}",  # noqa: S608 - quoted
                params,
                refusable=True,
            )

    def _seen(self, keys: pa.Table, *, lock: bool) -> Found:
        return look_up(
            self._session,
            self._dialect,
            self._spec.table,
            self._key,
            self._fields,
            keys,
            lock=lock,
        )

    def _parameters(
        self, fields: Mapping[str, Field], rows: pa.Table
    ) -> tuple[list[Row], dict[int, Refused]]:
        columns: list[Bound] = [
            self._dialect.bind(field, column_of(rows, field)) for field in fields.values()
        ]
        refused: dict[int, Refused] = {}
        for name, column in zip(fields, columns, strict=True):
            for row, reason in column.refused.items():
                refused.setdefault(row, Refused(row, "value", f"{name} {reason}"))
        return list(zip(*(column.values for column in columns), strict=True)), refused

    def _inserted(
        self,
        statement: str,
        values: Sequence[Row],
        waiting: list[int],
        rows: pa.Table,
        refused: dict[int, Refused],
    ) -> Mask:
        landed = np.zeros(rows.num_rows, np.bool_)

        def attempt(span: slice) -> None:
            part = waiting[span]
            with self._session.savepoint():
                self._session.many(statement, [values[row] for row in part], refusable=True)
            landed[part] = True

        try:
            attempt(slice(0, len(waiting)))
        except KeyTaken:
            # A whole batch may be there already (a COMMIT whose answer was lost): one look tells.
            taken = self._taken(rows, waiting)
            waiting = [row for row in waiting if row not in taken]
        except RowsRefused:
            pass
        else:
            return landed
        found = {waiting[one.row]: one for one in bisect(len(waiting), attempt)}
        # What is there by now was inserted twice in this batch: a taken key, not a refused record.
        taken = self._taken(rows, [row for row, one in found.items() if one.kind == "constraint"])
        refused |= {row: _at(row, one) for row, one in found.items() if row not in taken}
        return landed

    def _taken(self, rows: pa.Table, some: list[int]) -> set[int]:
        """Of these rows, those whose very key (not only one held equal by a collation) is there."""
        if not some:
            return set()
        keys = rows.select(list(self._key)).take(pa.array(some, pa.int64()))
        found = look_up(self._session, self._dialect, self._spec.table, self._key, {}, keys)
        return {some[row] for row in cast("list[int]", found.rows.column(ROW).to_pylist())}

    def _unmoved(self, count: int, found: Found, current: Fetched) -> dict[int, Row]:
        """Give the stored keys of the rows that are as the caller saw them, by row."""
        if current.rows.num_rows != count:
            raise ValueError("the rows seen are not aligned with the rows to write")
        asked = found.rows.column(ROW).to_numpy()
        same = np.ones(len(asked), np.bool_)
        picked = pa.array(asked, pa.int64())
        for name, field in (self._key | self._fields).items():
            if name not in current.rows.column_names:
                continue
            now = fingerprints(column_of(found.rows, field), field.type)
            then = fingerprints(column_of(current.rows, field), field.type)
            same &= now == then[picked.to_numpy()]
        now_misfit, then_misfit = _told(found.misfits), _told(current.misfits)
        return {
            int(row): found.stored[place]
            for place, row in enumerate(asked)
            if same[place] and now_misfit.get(place) == then_misfit.get(int(row))
        }


def _told(misfits: Sequence[Misfit]) -> dict[int, set[tuple[str, str]]]:
    told: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for one in misfits:
        told[one.row].add((one.field, one.value))
    return told


def _patterns(
    changed: Mapping[str, Mask], rows: Mapping[int, Row]
) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """Group rows by which of their fields moved."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in sorted(rows):
        groups[tuple(name for name, mask in changed.items() if mask[row])].append(row)
    yield from groups.items()


def _at(row: int, one: Refused) -> Refused:
    return Refused(row, one.kind, one.message)


def _sorted(refused: Mapping[int, Refused]) -> tuple[Refused, ...]:
    return tuple(refused[row] for row in sorted(refused))
