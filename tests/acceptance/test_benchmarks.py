"""Every case of the benchmark runs: all contenders do their job, and every target is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cases import CASES

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_each_case_of_the_benchmark_is_measured_and_checked(tmp_path: Path) -> None:
    """Once, with 2,000 rows; a case is left out only where a server can't be had."""
    arguments = ("--rows", "2000", "--repeat", "1", "--large", "--output", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    (saved,) = tmp_path.glob("*.json")
    results = json.loads(saved.read_text())
    measured = {case["case"] for case in results["cases"]}
    assert measured | {*results["skipped"]} == {case.name for case in CASES}
    assert {"full", "conflicts-50", "reconcile-1", "postgres-sqlite", "one-row-loop"} <= measured
