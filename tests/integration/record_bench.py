"""One target table with a ledger, and hands on both sides: what the decision table's tests use."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from syncline.baseline import Baselines, Layout, unpack
from syncline.batch import Batch, Shape
from syncline.classify import Presence, Rules
from syncline.endpoints.base import Endpoint, Fetched, TargetSpec, Transaction
from syncline.record import Type
from syncline.resolve import Policy
from syncline.settle import Outcome, Terms, settle
from syncline.strategy import load_strategy

Record = Mapping[str, Any] | None
"""A record's fields; None where it is gone."""

_NUMBERS = itertools.count()
KEY = {"id": Type("bigint")}
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


class RecordBench:
    """A table of people (id, name, city, at) on a target, its ledger, and the strategy for it."""

    def __init__(
        self,
        target: Endpoint,
        strategy: str = "source",
        *,
        fields: Mapping[str, str] | None = None,
        first_contact: str | None = None,
        together: Sequence[Sequence[int]] = (),
        ledger: bool = True,
        soft: str | None = None,
    ) -> None:
        self.target = target
        name = f"people_{next(_NUMBERS)}"
        types = {"name": Type("text"), "city": Type("text"), "at": Type("timestamptz", 3)}
        types = {name: target.fits(type_) for name, type_ in types.items()}
        stored = types | ({soft: target.fits(Type("timestamptz", 3))} if soft else {})
        target.create_table(name, KEY, stored)
        info = target.describe(name)
        assert info is not None
        if not info.open_columns:
            stored = {name: info.columns[name].type for name in stored}
            types = {name: stored[name] for name in types}
        self.types = types
        self.spec = TargetSpec(name, name, KEY, stored, ledger=ledger, ledger_key=Type("bigint"))
        target.prepare(self.spec)
        layout: Layout = tuple((name, "d", str(type_)) for name, type_ in types.items())
        self.shape = Shape(name, KEY, types, ledger, [layout], 0, clock=2, soft=soft)
        own = {name: (by, load_strategy(by, None)) for name, by in (fields or {}).items()}
        names = [(fields or {}).get(name, strategy) for name in types]
        contact = (first_contact, load_strategy(first_contact, None)) if first_contact else None
        self.terms = Terms(
            self.shape,
            Rules(
                np.array([False, False, True]),
                np.array([n == "source" for n in names]),
                strategy == "source",
                together,
            ),
            Policy(
                load_strategy(strategy, None),
                strategy,
                own,
                contact,
                together=tuple(frozenset(list(types)[n] for n in group) for group in together),
            ),
            "run",
            1,
            copies=not ledger,
        )

    # --- the source's hand ---

    def batch(self, source: Mapping[int, Record], *, unknown: bool = False) -> Batch:
        """Source records by key; None is a record that is gone."""
        keys = pa.table({"id": pa.array(list(source), pa.int64())})
        values = self._table([record or {} for record in source.values()])
        here = [Presence.GONE if record is None else Presence.HERE for record in source.values()]
        presence = np.array([Presence.UNKNOWN] * len(source) if unknown else here, np.int8)
        return Batch(keys, keys.column("id").combine_chunks(), values, self.types, presence, values)

    def sync(self, source: Mapping[int, Record], *, unknown: bool = False) -> Outcome:
        """Settle these source records, and commit."""
        batch = self.batch(source, unknown=unknown)
        with self.target.begin(self.spec) as tx:
            outcome = settle(tx, batch, self.terms)
            tx.commit()
        return outcome

    # --- the target's hand ---

    def edit(self, key: int, **changes: Any) -> None:
        """Somebody else edits the target's record."""
        with self.target.begin(self.spec) as tx:
            fetched = self._fetched(tx, [key])
            row = fetched.rows.to_pylist()[0] | changes
            table = pa.table({"id": pa.array([key], pa.int64())})
            whole = self._table([row], stored=True)
            for name in whole.column_names:
                table = table.append_column(name, whole.column(name))
            changed = {name: np.array([True]) for name in changes}
            assert tx.update(table, changed, fetched).landed.all()
            tx.commit()

    def delete(self, key: int) -> None:
        """Somebody else deletes the target's record."""
        with self.target.begin(self.spec) as tx:
            keys = pa.table({"id": pa.array([key], pa.int64())})
            assert tx.delete(keys, self._fetched(tx, [key])).landed.all()
            tx.commit()

    def insert(self, key: int, **values: Any) -> None:
        """Somebody else inserts a record into the target."""
        with self.target.begin(self.spec) as tx:
            table = pa.table({"id": pa.array([key], pa.int64())})
            whole = self._table([values], stored=True)
            for name in whole.column_names:
                table = table.append_column(name, whole.column(name))
            assert tx.insert(table).landed.all()
            tx.commit()

    # --- what is there now ---

    def record(self, key: int) -> Record:
        """The target's record, its key and clock left out."""
        with self.target.begin(self.spec, write=False) as tx:
            rows = self._fetched(tx, [key]).rows.to_pylist()
        return {"name": rows[0]["name"], "city": rows[0]["city"]} if rows else None

    def raw(self, key: int) -> dict[str, Any]:
        """The target's record, whole."""
        with self.target.begin(self.spec, write=False) as tx:
            return self._fetched(tx, [key]).rows.to_pylist()[0]

    def baseline(self, key: int) -> Baselines:
        """The ledger's row of this key."""
        with self.target.begin(self.spec, write=False) as tx:
            rows = tx.ledger_fetch(pa.array([key], pa.int64()))
        return unpack(rows, 1, self.shape.layouts, 0)

    def _fetched(self, tx: Transaction, keys: Sequence[int]) -> Fetched:
        return tx.fetch(pa.table({"id": pa.array(keys, pa.int64())}))

    def _table(self, records: Sequence[Mapping[str, Any]], *, stored: bool = False) -> pa.Table:
        types = self.spec.fields if stored else self.types
        return pa.table(
            {name: pa.array([r.get(name) for r in records], t.arrow) for name, t in types.items()}
        )
