"""Sides: the source and the target of a mapping as checksums, or as what is read here, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from syncline import arrow
from syncline.baseline import SOURCE_GONE, encode_key
from syncline.digests import Here, Side
from syncline.endpoints.base import Comparison, Endpoint, ReadSpec, Transaction
from syncline.endpoints.digest import Digest, DigestSpec
from syncline.record import Type
from syncline.spelling import KEYS, WHOLE, is_shared, record_texts

if TYPE_CHECKING:
    from syncline.run import Opened

SOURCE_MARK: Final = "s!"
TARGET_MARK: Final = "t!"
IN_PROCESS: Final = {"sqlite", "memory"}
"""Databases that are read in this process: nothing of them travels."""


# --- keys -----------------------------------------------------------------------------------------


def source_keys(run: Opened) -> Side:
    """The keys of the source's records; those outside `where` left out as far as it can tell."""
    digest = _source_keys(run)
    return digest if not isinstance(digest, str) else Here(lambda: _read_keys(run))


def our_keys(run: Opened, tx: Transaction) -> Side:
    """The keys of the records that came from the source, as far as we know."""
    digest = tx.ledger_digest() if run.spec.ledger else _target_keys(run)
    if digest is not None and not isinstance(digest, str):
        return digest
    return Here(lambda: known_keys(tx, run))


def readable(run: Opened, keys: pa.Array[Any]) -> pa.Array[Any]:
    """Those of the ledger keys that their types can hold. Of another, which is written behind a
    mark of its side, the record can't be asked for: it is a dead letter.
    """
    types = list(run.source_key.values())
    if run.spec.ledger_key.is_integer or all(type_.name == "text" for type_ in types):
        return keys
    texts = [str(key) for key in keys.to_pylist()]
    rows = [[text] for text in texts] if len(types) == 1 else [json.loads(text) for text in texts]
    held = [
        not any(
            type_.name != "text" and str(part).startswith((SOURCE_MARK, TARGET_MARK))
            for part, type_ in zip(row, types, strict=True)
        )
        for row in rows
    ]
    return keys.filter(pa.array(held, pa.bool_()))


def why_keys_travel(run: Opened) -> str:
    """Why keys have to travel to tell what is gone; empty where checksums tell."""
    found: list[str] = []
    if run.source.product not in IN_PROCESS and isinstance(why := _source_keys(run), str):
        found.append(f"those of the source ({why})")
    if run.target.product in IN_PROCESS or run.bound.target_info is None:
        return ", ".join(found)
    with run.target.begin(run.spec, write=False) as tx:
        if run.spec.ledger and tx.ledger_digest() is None and not tx.ledger_is_empty():
            found.append(f"those of the ledger ({run.target.product} computes no checksums)")
    if not run.spec.ledger and isinstance(why := _target_keys(run), str):
        found.append(f"those of the target ({why})")
    return ", ".join(found)


def _source_keys(run: Opened) -> Digest | str:
    return _odd_key(run) or run.source.digest(_of_source(run, {}))


def _odd_key(run: Opened) -> str:
    """Why the source's key has no text that databases share; empty where it has one."""
    odd = [f"{n} is {t}" for n, t in run.source_key.items() if t.name not in KEYS]
    return f"the key's {', '.join(odd)}, which databases write differently" if odd else ""


def _target_keys(run: Opened) -> Digest | str:
    return _other_key(run) or run.target.digest(_of_target(run, {}))


def _other_key(run: Opened) -> str:
    """Why the target's key is not the text that the source's is; empty where it is."""
    pairs = zip(run.source_key.values(), run.spec.key.items(), strict=True)
    other = [
        f"{name} is {source} there and {target} here"
        for source, (name, target) in pairs
        if source.name != target.name and not {source.name, target.name} <= WHOLE
    ]
    return f"the key's {', '.join(other)}" if other else ""


def _of_source(run: Opened, fields: Mapping[str, Type]) -> DigestSpec:
    whole = run.spec.ledger_key.is_integer
    # A record outside the filters is looked for by key before it counts as gone.
    filters = run.bound.read.filters
    return DigestSpec(run.read.table, run.source_key, fields, whole, SOURCE_MARK, filters)


def _of_target(run: Opened, fields: Mapping[str, Type]) -> DigestSpec:
    whole = run.spec.ledger_key.is_integer
    return DigestSpec(run.spec.table, run.spec.key, fields, whole, TARGET_MARK)


def _read_keys(run: Opened) -> Iterator[pa.Table]:
    for keys in run.source.keys(run.read):
        yield _one_column(encode_key(keys, run.source_key))


def known_keys(tx: Transaction, run: Opened) -> Iterator[pa.Table]:
    """The keys (`k`) of the records that came from the source, as far as we know, in batches."""
    if run.spec.ledger:
        for rows in tx.ledger_scan():
            here = (rows["gone"].to_numpy() & SOURCE_GONE) == 0
            yield _one_column(arrow.keep(arrow.one_chunk(rows["k"]), here))
        return
    for keys in tx.scan_keys():
        source = keys.rename_columns(list(run.source_key))
        schema = pa.schema([(n, t.arrow) for n, t in run.source_key.items()])
        yield _one_column(encode_key(source.cast(schema), run.source_key))


def _one_column(keys: pa.Array[Any]) -> pa.Table:
    """Keys as `Here` gives them, those that are NULL left out."""
    return arrow.table({"k": keys.drop_null()})


# --- whole records --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Between:
    """The records whose key, or its first column, is above `after` and at most `until`: whole
    numbers; None is open.
    """

    after: int | None = None
    until: int | None = None

    def of(self, spec: DigestSpec) -> DigestSpec:
        """Just these of the records that are checksummed."""
        key = next(iter(spec.key))
        found = [Comparison(key, ">", self.after)] if self.after is not None else []
        found += [Comparison(key, "<=", self.until)] if self.until is not None else []
        return replace(spec, filters=(*spec.filters, *found))


def has_ranges(run: Opened) -> bool:
    """Whether both sides have the records of a range of keys alike: a whole number that is never
    NULL, the key or its first column, is in the same range wherever it is compared; a text is not.
    """
    name, type_ = next(iter(run.source_key.items()))
    if not (type_.is_integer and next(iter(run.spec.key.values())).is_integer):
        return False
    known = run.bound.source_info.columns
    return name in known and not known[name].nullable


def records(run: Opened, between: Between | None = None) -> tuple[Side, Side] | str:
    """Both sides' records, mapped; or in one clause why they have to be read and mapped here.

    Those `between` two keys alone, where it is given and the run `has_ranges`.
    """
    fields = _copied(run)
    if isinstance(fields, str):
        return fields
    if run.source.product in IN_PROCESS and run.target.product in IN_PROCESS:
        return "both databases are read in this process"
    of_source = _of_source(run, {column: run.read.columns[column] for column in fields.values()})
    of_target = _of_target(run, {name: run.spec.fields[name] for name in fields})
    if between is not None:
        of_source, of_target = between.of(of_source), between.of(of_target)
    source = _side(run.source, of_source)
    target = _side(run.target, of_target)
    if isinstance(source, str):
        return source
    return target if isinstance(target, str) else (source, target)


def _copied(run: Opened) -> dict[str, str] | str:
    """The source's column of each field; or why that does not tell what the field holds."""
    mapping, program = run.mapping, run.bound.program
    if mapping.where:
        return "`where` is applied here"
    if run.bound.soft_delete is not None:
        return "records are marked as deleted"
    found: dict[str, str] = {}
    for column in program.columns:
        raw = column.raw
        if raw.column is None or column.default is not None or column.by_way_of is not None:
            return f"{column.name} is computed"
        if raw.type is None or not is_shared(raw.type, column.type):
            return f"{column.name} is {raw.type} there and {column.type} here"
        if not column.key:
            found[column.name] = raw.column
    if len(set(found.values())) < len(found) or set(found.values()) & set(run.source_key):
        return "a column of the source is mapped twice"
    return _odd_key(run) or _other_key(run) or found


def _side(endpoint: Endpoint, spec: DigestSpec) -> Side | str:
    digest = endpoint.digest(spec)
    if isinstance(digest, str) and endpoint.product in IN_PROCESS:
        return Here(lambda: _read_records(endpoint, spec))
    return digest


def _read_records(endpoint: Endpoint, spec: DigestSpec) -> Iterator[pa.Table]:
    """The records of a table with their texts; one without a key has none, and stays out."""
    columns = {**spec.key, **spec.fields}
    read = ReadSpec(spec.table, tuple(spec.key), columns, filters=spec.filters)
    with endpoint.read(read, mode="full") as snapshot:
        for batch in snapshot.batches():
            keys = encode_key(batch.records.select(list(spec.key)), spec.key)
            texts = record_texts(
                keys.cast(pa.string()), batch.records, spec.fields, batch.misfits, spec.odd
            )
            yield arrow.table({"k": keys, "text": texts})
