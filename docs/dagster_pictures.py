"""The pictures of Dagster in these docs: `python -m docs.screenshots dagster`.

This repository's own mappings, on the data of `syncline demo` in two PostgreSQL databases, edited
on both sides; the real webserver and daemon; a real browser.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import psycopg
from playwright.sync_api import Browser, Page, expect

from syncline.demo import load
from syncline.testing import servers
from tests.acceptance.dagster_pages import DagsterPages, opened
from tests.acceptance.dagster_process import ROOT
from tests.acceptance.dagster_ui import Ui

IMAGES: Final = Path(__file__).parent / "images"
ORDER: Final = (
    "airlines", "planes", "flights", "weather", "airports_by_latest", "airports_by_manual",
    "airports_by_merge", "airports_by_source", "airports_by_target",
)  # fmt: skip
EDITED: Final = ("airlines", "flights", "airports_by_manual")
OPS: Final = """
UPDATE airports SET name = 'Newark Liberty International' WHERE faa = 'EWR';
UPDATE airports SET name = 'La Guardia, New York' WHERE faa = 'LGA';
UPDATE flights SET arr_delay = arr_delay + 10 WHERE carrier = 'AA' AND month = 12 AND arr_delay > 0;
"""
WAREHOUSE: Final = """
UPDATE airports_by_manual SET name = 'Newark' WHERE code = 'EWR';
UPDATE airports_by_manual SET name = 'LaGuardia' WHERE code = 'LGA';
"""


def shoot(browser: Browser, root: Path) -> None:
    """Start all of it under `root`, make the pictures, and end it."""
    project = root / "project"
    (project / "mappings").mkdir(parents=True)
    shutil.copytree(ROOT / "mappings", project / "mappings", dirs_exist_ok=True)
    for name in ("connections.yaml", "hooks.py"):
        shutil.copy(ROOT / name, project)
    with (project / "mappings" / "flights.yaml").open("a") as flights:
        flights.write("max_lag: 2h\n")
    server = servers.postgres(root / "servers")
    ops, warehouse = server.fresh_database("ops"), server.fresh_database("warehouse")
    load.load(ops)
    ui = Ui(
        project,
        DEMO_OPS_URL=ops,
        DEMO_WAREHOUSE_URL=warehouse,
        DEMO_DOCUMENTS_URL=f"sqlite:///{root}/documents.db",
        SYNCLINE_REVIEW_URL="http://127.0.0.1:8484",
    )
    try:
        run_id = _synced(ui, ops, warehouse)
        viewport = {"width": 1440, "height": 900}
        with opened(browser, ui.url, viewport=viewport, timezone_id="UTC") as pages:
            _shoot(pages, run_id)
    finally:
        ui.stop()
        server.stop()


def _synced(ui: Ui, ops: str, warehouse: str) -> str:
    """Sync all, edit both sides, and meet the edits; the id of the run that copied the flights."""
    ui.loaded()
    runs = {name: ui.launch(name, {}) for name in ORDER}
    assert {ui.ended(each) for each in runs.values()} == {"SUCCESS"}
    for url, statements in ((ops, OPS), (warehouse, WAREHOUSE)):
        with psycopg.connect(url) as connection:
            connection.execute(statements.encode())
    for name in EDITED:
        assert ui.ended(ui.launch(name, {})) == "SUCCESS"
    return runs["flights"]


def _shoot(pages: DagsterPages, run_id: str) -> None:
    _save(pages.graph("flights"), "graph")
    asset = pages.asset("flights")
    asset.get_by_text("Latest check results").wait_for()
    asset.get_by_text("Last materialized").wait_for()
    _save(asset, "asset")
    _save(pages.events("flights"), "numbers")
    _save(pages.check("airports_by_manual", "conflicts"), "check")
    run = pages.run(run_id)
    run.get_by_placeholder("Filter…").fill("flights: ")  # the lines of the batches
    expect(run.get_by_text("Process for run exited")).to_have_count(0)
    run.keyboard.press("Escape")
    _save(run, "run")


def _save(page: Page, name: str) -> None:
    page.wait_for_timeout(2000)  # what moves has come to rest
    page.screenshot(path=IMAGES / f"dagster-{name}.png")
