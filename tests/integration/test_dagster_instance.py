"""Dagster's instance: the embedded one, and the variant that a team keeps in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator

from tests.integration.dagster_bench import DagsterBench

ROOT = Path(__file__).parents[2]
INSTANCE = ROOT / "dagster_home" / "dagster.yaml"
PAGE = ROOT / "docs" / "how-to" / "dagster.md"


@contextmanager
def instance_of(home: Path, text: str) -> Iterator[dg.DagsterInstance]:
    """The instance that a `dagster.yaml` makes."""
    home.mkdir()
    (home / "dagster.yaml").write_text(text)
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


def added_by_the_page() -> str:
    """What docs/how-to/dagster.md adds for PostgreSQL."""
    (block,) = (
        block.partition("```")[0]
        for block in PAGE.read_text().split("```yaml\n")[1:]
        if block.startswith("storage:")
    )
    return block


def test_the_instance_tells_nobody_and_forgets_ticks_and_watches_its_runs(tmp_path: Path) -> None:
    """As dagster_home/dagster.yaml says, which Dagster takes as it stands."""
    with instance_of(tmp_path / "home", INSTANCE.read_text()) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_launcher.supports_check_run_worker_health
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.global_op_concurrency_default_limit == 1
        assert instance.managed_python_loggers == ["syncline"]
        for kind in (InstigatorType.SCHEDULE, InstigatorType.SENSOR):
            kept = instance.get_tick_retention_settings(kind)
            assert all(0 < days <= 90 for days in kept.values()), kept


def test_a_team_keeps_the_instance_in_postgresql(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the page adds to the file: a run, its events and its pool are in the database."""
    bench = DagsterBench(tmp_path / "project")
    bench.write("customers")
    added = added_by_the_page()
    scheme = added.partition("# ")[2].partition("://")[0]
    url = scheme + "://" + postgres_url.partition("://")[2]
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    with instance_of(tmp_path / "home", INSTANCE.read_text() + added) as instance:
        result = bench.run(instance, "customers")
        assert result.success
        assert not list((tmp_path / "home").rglob("*.db"))
    with psycopg.connect(postgres_url) as connection:
        runs = connection.execute(b"SELECT run_id, status FROM runs").fetchall()
        events = connection.execute(b"SELECT count(*) FROM event_logs").fetchall()
    assert runs == [(result.run_id, "SUCCESS")]
    assert events[0][0] > 10
