"""Both sides compared: the keys, to find what is gone from the source, and every value."""

from __future__ import annotations

from typing import Final

from benchmarks import customers
from benchmarks.case import Case, Contender, Measured
from benchmarks.cases.synced import MEMORY, always, start_from, sync
from benchmarks.measure import Failed
from benchmarks.sides.mariadb import MariaDBSource
from benchmarks.stage import CHECKSUM, Stage

KEYS: Final = "SELECT id FROM customers"
KEYS_ARRIVE: Final = (
    "CREATE TEMPORARY TABLE arrived (user_id bigint)",
    "COPY arrived FROM STDIN (FORMAT binary)",
    "ANALYZE arrived",
    (
        "DELETE FROM by_hand AS t "
        "WHERE NOT EXISTS (SELECT FROM arrived WHERE arrived.user_id = t.user_id)"
    ),
)
OUTER_JOIN: Final = (
    "CREATE TEMPORARY TABLE arrived (LIKE by_hand)",
    "COPY arrived FROM STDIN (FORMAT binary)",
    "ANALYZE arrived",
    (
        "SELECT count(*) || ' rows differ' FROM arrived FULL JOIN by_hand USING (user_id) "
        "WHERE arrived IS DISTINCT FROM by_hand"
    ),
)
PLAIN_COLUMNS: Final = "as_is"
PLAIN_MAPPING: Final = """
source: {{connection: {source}, table: fields}}
target: {{connection: target, table: public.as_is}}
key: {{user_id: user_id}}
fields:
  full_name: full_name
  email: email
  status: status
  balance: balance
  region: region
  updated_at: updated_at
conflicts: {{strategy: merge}}
"""
NEARLY: Final = 100
"""How many rows differ where the tables are nearly equal."""


def _reconcile(percent: int) -> Case:
    def change(stage: Stage, round_: int) -> None:
        if percent:
            stage.run("source", f"DELETE FROM customers WHERE id % 100 = {round_ % 100}")

    def by_hand(stage: Stage, _round: int) -> Measured:
        return Measured(stage.pipe(KEYS, *KEYS_ARRIVE))

    def deleted(rows: int, round_: int) -> int:
        return len(range(round_ % 100 or 100, rows + 1, 100)) if percent else 0

    return Case(
        name=f"reconcile-{percent}",
        what=f"keys compared, {percent} % of the rows deleted on the source",
        setup=_synced,
        change=change,
        traffic=True,
        contenders=(
            Contender(
                "COPY the keys, delete what has none",
                by_hand,
                check=lambda stage: customers.check(stage, "by_hand"),
            ),
            Contender(
                "syncline, deletes: mirror",
                sync("mirrored", mode=always("delta"), deleted=deleted),
                check=lambda stage: customers.check(stage, "mirrored"),
                memory=MEMORY,
            ),
        ),
    )


def _verify(different: int) -> Case:
    def setup(stage: Stage) -> None:
        _synced(stage)
        stage.run(
            "source",
            f"CREATE TABLE fields AS {customers.FIELDS}",
            "ALTER TABLE fields ADD PRIMARY KEY (user_id)",
        )
        _sync_fields(stage, "source")
        for table in ("by_hand", "mirrored", PLAIN_COLUMNS):
            stage.run(
                "target",
                f"UPDATE {table} SET balance = balance + 1 "
                f"WHERE user_id % {max(stage.rows // 100, 1)} = 1 AND {different} > 0",
            )

    def joined(stage: Stage, _round: int) -> Measured:
        sample = stage.pipe(customers.FIELDS, *OUTER_JOIN)
        if f"{different} rows differ" not in sample.output:
            raise Failed(f"{different} rows differ; the join says {sample.output}")
        return Measured(sample)

    checksums = Contender(
        "a checksum of each side",
        lambda stage, _round: Measured(
            stage.queries(
                CHECKSUM.format(rows=customers.FIELDS),
                CHECKSUM.format(rows=customers.FIELDS_OF.format(table="by_hand")),
            )
        ),
    )
    return Case(
        name=f"verify-{'nearly' if different else 'equal'}",
        what=f"both sides compared, {different or 'no'} rows of them different",
        setup=setup,
        traffic=True,
        contenders=(
            Contender("COPY to a temporary table, full outer join", joined),
            *(() if different else (checksums,)),
            _looking("syncline verify, six transforms", "mirrored", different=different),
            _looking("syncline verify, plain columns", PLAIN_COLUMNS, different=different),
            _looking(
                "syncline verify --each, plain columns",
                PLAIN_COLUMNS,
                "--each",
                different=different,
            ),
        ),
    )


def _verify_pairing() -> Case:
    def setup(stage: Stage) -> None:
        source = MariaDBSource()
        source.fill(stage)
        source.make_fields(stage)
        _sync_fields(stage, "mariadb")

    return Case(
        name="verify-mariadb",
        what="MariaDB and PostgreSQL compared, no rows of them different",
        setup=setup,
        traffic=True,
        contenders=(
            _looking("syncline verify --each, plain columns", PLAIN_COLUMNS, "--each"),
            _looking("syncline verify, plain columns", PLAIN_COLUMNS),
        ),
        rows=100_000,
        needs=("mariadb",),
    )


def _sync_fields(stage: Stage, source: str) -> None:
    """Make a synced copy of the table `fields`: databases can compare it by checksums."""
    stage.write_mapping(PLAIN_COLUMNS, PLAIN_MAPPING.format(source=source))
    customers.create_target(stage, PLAIN_COLUMNS)
    stage.syncline("run", PLAIN_COLUMNS)


def _looking(name: str, *how: str, different: int = 0) -> Contender:
    """A `syncline verify` that has to find this many records that differ."""

    def run(stage: Stage, _round: int) -> Measured:
        sample, (said,) = stage.syncline("verify", *how, allowed=(0, 5))
        # With a ledger it knows that the target was edited, and calls that apart, not different.
        if said["different"] + sum(said["apart"].values()) != different:
            raise Failed(f"syncline verify says {said}, and {different} rows differ")
        return Measured(sample, said["seconds"])

    return Contender(name, run, memory=MEMORY)


def _synced(stage: Stage) -> None:
    customers.load(stage)
    customers.map_to(stage, "mirrored", "conflicts: {strategy: merge}\ndeletes: mirror")
    start_from(stage, "mirrored")


COMPARING: Final = (
    *map(_reconcile, (0, 1)),
    *map(_verify, (0, NEARLY)),
    _verify_pairing(),
)
