"""The cases: each one job, done by several contenders in turn, held against the first of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from benchmarks import customers
from benchmarks.customers import Target
from benchmarks.measure import Failed, Sample
from benchmarks.peers import Peer, installed
from benchmarks.stage import Stage


@dataclass(frozen=True, slots=True)
class Measured:
    """One execution of a contender: the sample, and the seconds the engine itself counted."""

    sample: Sample
    engine: float | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a case's job.

    `prepare` makes ready for one execution, `run` is measured and given the number of the round,
    `check` raises Failed where the result is wrong. `limit` is the promised ratio to the first
    contender, `memory` the promised peak in bytes.
    """

    name: str
    run: Callable[[Stage, int], Measured]
    prepare: Callable[[Stage], None] = lambda _: None
    check: Callable[[Stage], None] = lambda _: None
    limit: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A job. `setup` is done once, `change` before each round."""

    name: str
    what: str
    contenders: tuple[Contender, ...]
    setup: Callable[[Stage], None] = lambda _: None
    change: Callable[[Stage, int], None] = lambda _stage, _round: None


COPY_IN: Final = "COPY {table} FROM STDIN (FORMAT binary)"
ARRIVED: Final = "CREATE TEMPORARY TABLE arrived (LIKE by_hand)"
MEMORY: Final = 500 << 20
PEERS: Final = installed()


def _copy(stage: Stage, _round: int = 0) -> Measured:
    return Measured(stage.pipe(customers.FIELDS, COPY_IN.format(table="by_hand")))


def _upsert(stage: Stage, round_: int) -> Measured:
    changed = f"{customers.FIELDS} WHERE {customers.CHANGED_SINCE.format(round=round_)}"
    arrive = COPY_IN.format(table="arrived")
    return Measured(stage.pipe(changed, ARRIVED, arrive, customers.UPSERT))


def _look(stage: Stage, _round: int) -> Measured:
    changed = customers.CHANGED_SINCE.format(round=10_000)
    return Measured(stage.query(f"{customers.FIELDS} WHERE {changed}"))


def _sync(table: Target, **expected: Callable[[int], Any]) -> Callable[[Stage, int], Measured]:
    """A run of syncline that has to say what is expected of it, given the rows of the source."""

    def run(stage: Stage, _round: int) -> Measured:
        sample, said = stage.sync(table)
        wanted = {name: of(stage.rows) for name, of in expected.items()}
        if {name: said[name] for name in wanted} != wanted:
            raise Failed(f"syncline says {said}, and should have done {wanted}")
        return Measured(sample, said["seconds"])

    return run


def _full_by(peer: Peer) -> Contender:
    return Contender(
        f"{peer.name} {peer.version()}",
        lambda stage, _round: Measured(stage.copy_by(peer, full=True)),
        lambda stage: stage.forget(peer),
        lambda stage: stage.check(peer.table),
    )


def _delta_by(peer: Peer) -> Contender:
    def run(stage: Stage, round_: int) -> Measured:
        since = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=round_)
        return Measured(stage.copy_by(peer, full=False, since=since.isoformat()))

    return Contender(
        f"{peer.name} {peer.version()}", run, check=lambda stage: stage.check(peer.table)
    )


def _made(table: Target) -> Callable[[Stage], None]:
    return lambda stage: stage.create_target(table)


def _right(table: Target) -> Callable[[Stage], None]:
    return lambda stage: stage.check(table)


def _synced(stage: Stage) -> None:
    """Every table full, so that a delta has something to start from."""
    for table in ("by_hand", "ledgered"):
        stage.create_target(table)
    _copy(stage)
    stage.sync("ledgered")
    for peer in PEERS:
        stage.forget(peer)
        stage.copy_by(peer, full=True)


def _change(stage: Stage, round_: int) -> None:
    stage.run("source", customers.CHANGE_SOURCE.format(round=round_))


FULL: Final = Case(
    name="full",
    what="full load, six transforms",
    contenders=(
        Contender("COPY | COPY", _copy, _made("by_hand"), _right("by_hand")),
        Contender(
            "syncline without ledger",
            _sync("plain", mode=lambda _: "full", inserted=lambda rows: rows),
            _made("plain"),
            _right("plain"),
            limit=1.5,
            memory=MEMORY,
        ),
        Contender(
            "syncline with ledger",
            _sync("ledgered", mode=lambda _: "full", inserted=lambda rows: rows),
            _made("ledgered"),
            _right("ledgered"),
            limit=2.5,
            memory=MEMORY,
        ),
        *map(_full_by, PEERS),
    ),
)
DELTA: Final = Case(
    name="delta",
    what="delta, a tenth of the rows changed on the source",
    setup=_synced,
    change=_change,
    contenders=(
        Contender("COPY to a temporary table, upsert", _upsert, check=_right("by_hand")),
        Contender(
            "syncline with ledger",
            _sync("ledgered", mode=lambda _: "delta", updated=lambda rows: rows // 10),
            check=_right("ledgered"),
            memory=MEMORY,
        ),
        *map(_delta_by, PEERS),
    ),
)
NOTHING: Final = Case(
    name="nothing",
    what="delta, nothing changed",
    setup=_synced,
    contenders=(
        Contender("the query that finds nothing", _look),
        Contender(
            "syncline with ledger",
            _sync("ledgered", mode=lambda _: "delta", read=lambda _: 0, updated=lambda _: 0),
            check=_right("ledgered"),
            memory=MEMORY,
        ),
    ),
)
CASES: Final = (FULL, DELTA, NOTHING)
