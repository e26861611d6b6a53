"""`python -m benchmarks.publish RESULTS.json..`: the tables and plots of docs/benchmarks.md.

Nothing there is typed by hand: what stands between the two marks is written from what was saved. Of
several files the later ones hold, case by case, so that one case can be measured again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import plots, report
from benchmarks.cases import CASES
from benchmarks.results import Result

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
BEGIN: Final = "<!-- results: written by `python -m benchmarks.publish` -->"
END: Final = "<!-- end of the results -->"
PLOTS: Final = {
    "full": ("full",),
    "deltas": ("nothing", "delta-100", "delta", "delta-all"),
    "conflicts": ("conflicts-0", "conflicts-1", "conflicts-50"),
    "comparing": (
        *("reconcile-0", "reconcile-1", "verify-equal", "verify-nearly"),
        "verify-mariadb",
    ),
    "pairings": (
        *("postgres-mongo", "mongo-postgres", "postgres-sqlite"),
        *("mariadb-postgres", "postgres-mariadb"),
    ),
    "small": ("many", "many-nothing", "one-row", "one-row-loop"),
    "data": ("flights", "lineitem", "wide"),
    "growth": ("growth",),
}
"""The plots, by name, with the cases that each shows."""


def publish(paths: Sequence[Path], docs: Path = DOCS) -> Path:
    """Write the results into the page, and its plots beside it; the page."""
    files = [json.loads(path.read_text()) for path in paths]
    results = {case["case"]: Result(case) for file in files for case in file["cases"]}
    page = docs / "benchmarks.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, marked, after = rest.partition(END)
    if not marked:
        raise ValueError(f"{page} lacks the marks {BEGIN} and {END}")
    images = docs / "images"
    for name, cases in PLOTS.items():
        shown = [results[case] for case in cases if case in results]
        place = images / f"bench-{name}.svg"
        if shown:
            place.write_text(plots.bars(shown))
        else:
            place.unlink(missing_ok=True)
    content = "\n".join(_content(files, results))
    page.write_text(f"{before}{BEGIN}\n\n{content}\n{END}{after}")
    return page


def _content(files: Sequence[Mapping[str, Any]], results: Mapping[str, Result]) -> Iterator[str]:
    for file in files:
        yield f"{_surroundings(file)}\n"
    yield from _promises(results)
    skipped = {case: why for file in files for case, why in file["skipped"].items()}
    for case, why in skipped.items():
        if case not in results:
            yield f"`{case}` was left out: {why}.\n"
    order = [case.name for case in CASES]
    for name, cases in PLOTS.items():
        if any(case in results for case in cases):
            yield f"![Median seconds: {', '.join(cases)}](images/bench-{name}.svg)\n"
        for case in sorted({*results} & {*cases}, key=order.index):
            yield f"### {report.title(results[case])}\n\n{report.markdown(results[case])}\n"


def _surroundings(file: Mapping[str, Any]) -> str:
    left_out = {"measured_at", "cores", "load", "load_at_end", "servers", "skipped", "cases"}
    versions = ", ".join(f"{name} {value}" for name, value in file.items() if name not in left_out)
    servers = ", ".join(f"{name} {value}" for name, value in file["servers"].items())
    rounds = {len(runs) for case in file["cases"] for runs in case["contenders"].values()}
    return (
        f"{file['measured_at'][:10]}, {file['cores']} cores, load {file['load'][0]} at the start; "
        f"medians of {' or '.join(map(str, sorted(rounds)))} rounds. {servers}. {versions}."
    )


def _promises(results: Mapping[str, Result]) -> Iterator[str]:
    lines = [
        f"- `{name}`: {verdict.replace('|', chr(92) + '|')}"
        for name, result in results.items()
        for verdict in result.verdicts()
        if "peak" not in verdict or "NOT" in verdict
    ]
    if lines:
        yield "What was promised, and of the memory what was not kept:\n"
        yield "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(f"wrote {publish([Path(name) for name in sys.argv[1:]])}")
