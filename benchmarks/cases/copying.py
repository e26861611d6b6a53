"""PostgreSQL to PostgreSQL: all of it, what changed of it, and nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from shutil import rmtree
from typing import Final

from benchmarks import customers
from benchmarks.case import Case, Contender, Measured
from benchmarks.cases.synced import BY_HAND, always, copied, delta, full, start_from, sync
from benchmarks.peers import Peer, installed
from benchmarks.stage import Stage

PEERS: Final = installed()


def _given(stage: Stage, peer: Peer, since: str = "") -> dict[str, str]:
    return {
        "source": f"{stage.url('source')}?sslmode=disable",
        "target": f"{stage.url('target')}?sslmode=disable",
        "stream": "public.mapped",
        "table": f"public.{peer.table}",
        "since": since,
    }


def _forget(stage: Stage, peer: Peer) -> None:
    stage.run(
        "target",
        f"DROP TABLE IF EXISTS {peer.table}",
        "DROP TABLE IF EXISTS _dlt_loads, _dlt_pipeline_state, _dlt_version",
    )
    rmtree(stage.project / "dlt", ignore_errors=True)


def _full_by(peer: Peer) -> Contender:
    return Contender(
        f"{peer.name} {peer.version()}",
        lambda stage, _round: Measured(stage.peer(peer, full=True, given=_given(stage, peer))),
        lambda stage: _forget(stage, peer),
        lambda stage: customers.check(stage, peer.table),
    )


def _delta_by(peer: Peer) -> Contender:
    def run(stage: Stage, round_: int) -> Measured:
        since = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=round_)
        given = _given(stage, peer, since.isoformat())
        return Measured(stage.peer(peer, full=False, given=given))

    return Contender(
        f"{peer.name} {peer.version()}", run, check=lambda stage: customers.check(stage, peer.table)
    )


def _loaded(stage: Stage) -> None:
    customers.load(stage)
    customers.map_to(stage, "plain", "conflicts: {detect: none}")
    customers.map_to(stage, "ledgered", "conflicts: {strategy: merge}")


def _synced(stage: Stage) -> None:
    _loaded(stage)
    start_from(stage, "ledgered")


def _synced_by_all(stage: Stage) -> None:
    _synced(stage)
    for peer in PEERS:
        _forget(stage, peer)
        stage.peer(peer, full=True, given=_given(stage, peer))


def _changes(which: str) -> Callable[[Stage, int], None]:
    def change(stage: Stage, round_: int) -> None:
        some = which.format(round=round_, rows=stage.rows)
        stage.run("source", customers.CHANGE_SOURCE.format(round=round_, which=some))

    return change


def _look(stage: Stage, _round: int) -> Measured:
    changed = customers.CHANGED_SINCE.format(round=10_000)
    return Measured(stage.query(f"{customers.FIELDS} WHERE {changed}"))


FULL: Final = Case(
    name="full",
    what="full load, six transforms",
    setup=_loaded,
    contenders=(
        Contender(
            "COPY | COPY",
            copied,
            lambda stage: customers.create_target(stage, "by_hand"),
            lambda stage: customers.check(stage, "by_hand"),
        ),
        full("syncline without ledger", "plain", limit=1.25, ledger=False),
        full("syncline with ledger", "ledgered", limit=1.6, ledger=True),
        *map(_full_by, PEERS),
    ),
)
DELTA: Final = Case(
    name="delta",
    what="delta, a tenth of the rows changed on the source",
    setup=_synced_by_all,
    change=_changes(customers.A_TENTH),
    contenders=(
        BY_HAND,
        delta("syncline with ledger", "ledgered", lambda rows, _: rows // 10, limit=1.3),
        *map(_delta_by, PEERS),
    ),
)
DELTA_100: Final = Case(
    name="delta-100",
    what="delta, 100 rows changed on the source",
    setup=_synced,
    change=_changes("id > {round} * 100 AND id <= {round} * 100 + 100"),
    contenders=(BY_HAND, delta("syncline with ledger", "ledgered", always(100))),
)
DELTA_ALL: Final = Case(
    name="delta-all",
    what="delta, every row changed on the source",
    setup=_synced,
    change=_changes("true"),
    contenders=(BY_HAND, delta("syncline with ledger", "ledgered", lambda rows, _: rows)),
)
NOTHING: Final = Case(
    name="nothing",
    what="delta, nothing changed",
    setup=_synced,
    contenders=(
        Contender("the query that finds nothing", _look),
        Contender(
            "syncline with ledger",
            sync("ledgered", mode=always("delta"), read=always(0), updated=always(0)),
            check=lambda stage: customers.check(stage, "ledgered", ledger=stage.rows),
            limit=2.0,
            past_start=True,
        ),
    ),
)
COPYING: Final = (FULL, DELTA, DELTA_100, DELTA_ALL, NOTHING)
