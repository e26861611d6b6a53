"""Gone: which records the source does not have any more, and what follows for the target.

A record is gone when a full key scan, begun after the run's own read, lacks it, and a probe by key
in a newer snapshot lacks it too. The comparison is done by DuckDB on disk, so that its memory does
not grow with the table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from syncline import arrow
from syncline.baseline import SOURCE_GONE, decode_key, encode_key
from syncline.batch import Batch, Shape, gone_batch
from syncline.endpoints.base import ROW, Transaction
from syncline.guard import check_deletes
from syncline.settle import Outcome, settle

if TYPE_CHECKING:
    from syncline.run import Opened
    from syncline.sync import Syncing

BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Gone:
    """The records that are gone from the source, in batches, and how many records were known."""

    batches: tuple[Batch, ...]
    known: int

    @property
    def count(self) -> int:
        """How many are gone."""
        return sum(batch.rows for batch in self.batches)


def reconcile(syncing: Syncing) -> None:
    """Settle the records that are gone from the source.

    Raises GuardStopped before the first delete.
    """
    found = find(syncing.run, syncing.terms.shape)
    check_deletes(syncing.run, found.count, found.known, syncing.options.allow)
    for batch in found.batches:
        syncing.transact(lambda tx, batch=batch: _settle(tx, batch, syncing))


def find(run: Opened, shape: Shape) -> Gone:
    """The records that came from the source and that it has no more, proven; writes nothing."""
    if not (run.spec.ledger or run.mapping.exclusive):
        return Gone((), 0)  # nothing tells our records from the target's own
    with (
        tempfile.TemporaryDirectory(prefix="syncline-") as folder,
        duckdb.connect(str(Path(folder) / "keys.duckdb")) as db,
    ):
        known = _gather(db, run)
        missing = list(_missing(db))
    proven = [_proven(run, shape, keys) for keys in missing]
    return Gone(tuple(batch for batch in proven if batch is not None), known)


def _settle(tx: Transaction, batch: Batch, syncing: Syncing) -> Outcome:
    return settle(tx, batch, syncing.terms)


def _gather(db: duckdb.DuckDBPyConnection, run: Opened) -> int:
    """Load the source's keys and ours into tables; the number of ours."""
    kind = "bigint" if run.spec.ledger_key.is_integer else "varchar"
    db.execute("set memory_limit = '512MB'")
    db.execute(f"create table theirs (k {kind})")
    db.execute(f"create table ours (k {kind})")
    for keys in run.source.keys(run.read):
        _append(db, "theirs", encode_key(keys, run.source_key))
    with run.target.begin(run.spec, write=False) as tx:
        for keys in _our_keys(tx, run):
            _append(db, "ours", keys)
    ((count,),) = db.execute("select count(*) from ours").fetchall()
    return int(count)


def _append(db: duckdb.DuckDBPyConnection, table: str, keys: pa.Array[Any]) -> None:
    db.register("incoming", pa.table({"k": keys}))
    db.execute(f"insert into {table} select k from incoming")  # noqa: S608 (our own two names)
    db.unregister("incoming")


def _our_keys(tx: Transaction, run: Opened) -> Iterator[pa.Array[Any]]:
    """The ledger keys of the records that came from the source, as far as we know."""
    if run.spec.ledger:
        for rows in tx.ledger_scan():
            here = (rows["gone"].to_numpy() & SOURCE_GONE) == 0
            yield arrow.keep(arrow.one_chunk(rows["k"]), here)
        return
    for keys in tx.scan_keys():
        source = keys.rename_columns(list(run.source_key))
        yield encode_key(
            source.cast(pa.schema([(n, t.arrow) for n, t in run.source_key.items()])),
            run.source_key,
        )


def _missing(db: duckdb.DuckDBPyConnection) -> Iterator[pa.Array[Any]]:
    rows = db.sql("select k from ours anti join theirs using (k)").to_arrow_table()
    for start in range(0, rows.num_rows, BATCH):
        yield rows.slice(start, BATCH).column("k").combine_chunks()


def _proven(run: Opened, shape: Shape, ledger_keys: pa.Array[Any]) -> Batch | None:
    """Those of the missing keys that a probe in a newer snapshot does not find either."""
    source_keys = decode_key(ledger_keys, run.source_key)
    found, _ = run.source.fetch(run.read, source_keys)
    absent = np.ones(len(ledger_keys), np.bool_)
    absent[found.column(ROW).to_numpy()] = False
    if not absent.any():
        return None
    mask = pa.array(absent)
    return gone_batch(shape, target_keys(run, source_keys).filter(mask), ledger_keys.filter(mask))


def target_keys(run: Opened, source_keys: pa.Table) -> pa.Table:
    """The target's key columns of source keys: renamed, in the target's types."""
    columns = {
        name: source_keys.column(run.bound.key[name]).cast(type_.arrow)
        for name, type_ in run.spec.key.items()
    }
    return arrow.table(columns)
