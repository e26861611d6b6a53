"""Checks of a mapping: which there are, and what each found.

Four are made by every run, and cost next to nothing: `conflicts`, `dead_letters`, `freshness` (with
`max_lag:`) and `drift`. Two read both sides whole, `parity` and `duplicates`: a run makes them
where the mapping says so. Each can be made alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from syncline.dagster.samples import differences
from syncline.mapping.model import Mapping
from syncline.project import Project

if TYPE_CHECKING:
    from collections.abc import Generator

    from syncline.compare import VerifyReport
    from syncline.progress import Progress
    from syncline.run import Opened

Cancelled = Callable[[], bool]

_TELLS: Final = {
    "conflicts": "Conflicts that wait for a person.",
    "dead_letters": "Records that could not be mapped or written.",
    "freshness": "The last sync is no older than `max_lag` of the mapping.",
    "drift": "No column that the mapping reads or writes changed since the last run.",
    "parity": "Both sides hold the same records, field by field, as `syncline verify` finds.",
    "duplicates": "No two records of a side have the same key, and none has no key.",
}
_SCANS: Final = ("parity", "duplicates")
_WARNS: Final = {"conflicts", "dead_letters", "freshness", "drift"}
"""What fails as a warning: somebody should look, but what was synced is right."""


def check_names(mapping: Mapping, *, inline: bool) -> list[str]:
    """The checks that every run of the mapping makes (`inline`), or those that it does not."""
    scans = [name for name in _SCANS if getattr(mapping.checks, name).inline]
    if not inline:
        return [name for name in _SCANS if name not in scans]
    fresh = ["freshness"] if mapping.max_lag is not None else []
    return ["conflicts", "dead_letters", *fresh, "drift", *scans]


def inline_specs(mapping: Mapping, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks that are part of the mapping's op."""
    return [_spec(mapping, key, name) for name in check_names(mapping, inline=True)]


def scan_specs(mapping: Mapping, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks that have an op of their own, since a run does not make them."""
    return [_spec(mapping, key, name) for name in check_names(mapping, inline=False)]


def inline_check_keys(mapping: Mapping) -> list[dg.AssetCheckKey]:
    """What a RunRequest names as `asset_check_keys`, so that it asks for no scan."""
    key = dg.AssetKey(mapping.name)
    return [dg.AssetCheckKey(key, name) for name in check_names(mapping, inline=True)]


def selection_of(mapping: Mapping) -> dg.AssetSelection:
    """The mapping with the checks that every run makes: what a schedule or job should select."""
    asset = dg.AssetSelection.assets(dg.AssetKey(mapping.name)).without_checks()
    return asset | dg.AssetSelection.checks(*inline_check_keys(mapping))


def _spec(mapping: Mapping, key: dg.AssetKey, name: str) -> dg.AssetCheckSpec:
    blocking = getattr(mapping.checks, name).blocking
    return dg.AssetCheckSpec(name, asset=key, description=_TELLS[name], blocking=blocking)


def result_of(
    mapping: Mapping, name: str, passed: bool, told: str, **metadata: Any
) -> dg.AssetCheckResult:
    """What a check found; a warning, unless it blocks or says that records are wrong."""
    warns = name in _WARNS and not getattr(mapping.checks, name).blocking
    severity = dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(mapping.name),
        check_name=name,
        passed=passed,
        severity=severity,
        description=told,
        metadata=metadata,
    )


def blocks(mapping: Mapping, result: dg.AssetCheckResult) -> bool:
    """Whether what comes after the mapping must not begin because of this result."""
    return not result.passed and getattr(mapping.checks, str(result.check_name)).blocking


def after_run(
    project: Project,
    mapping: Mapping,
    wanted: Collection[str],
    *,
    synced_at: str | None,
    drift: Sequence[str],
    cancelled: Cancelled,
) -> Iterator[dg.AssetCheckResult]:
    """The wanted checks, with what the run that has just ended knows already."""
    yield from _counted(project, mapping, wanted)
    if "freshness" in wanted:
        yield freshness(mapping, synced_at)
    if "drift" in wanted:
        yield drifted(mapping, drift)
    yield from _scanned(project, mapping, wanted, cancelled)


def alone(
    project: Project, mapping: Mapping, wanted: Collection[str], cancelled: Cancelled
) -> Iterator[dg.AssetCheckResult]:
    """The wanted checks, on the databases as they are; nothing is synced.

    Raises as `syncline verify` does.
    """
    from syncline import drift as drifts
    from syncline import ledger

    yield from _counted(project, mapping, wanted)
    if {"freshness", "drift"} & set(wanted):
        with _opened(project, mapping.name) as run:
            there = run.bound.target_info is not None
            document = ledger.peek(run.target, run.spec)[1] if there else ledger.Document()
            point = document.checkpoint
            found = [str(each) for each in drifts.found(run, document) if each.stops]
        if "freshness" in wanted:
            yield freshness(mapping, point.synced_at if point else None)
        if "drift" in wanted:
            yield drifted(mapping, found)
    yield from _scanned(project, mapping, wanted, cancelled)


def _counted(
    project: Project, mapping: Mapping, wanted: Collection[str]
) -> Iterator[dg.AssetCheckResult]:
    if not {"conflicts", "dead_letters"} & set(wanted):
        return
    from syncline.store.store import Store

    with Store.open(project.store_url) as store:
        counts = store.counts(mapping.name)
    if "conflicts" in wanted:
        waits, limit = counts.open_conflicts, mapping.checks.conflicts.limit
        told = f"{waits:,} wait for a person; up to {limit:,} may"
        if waits:
            told += f": `syncline conflicts list {mapping.name}`"
        yield result_of(
            mapping, "conflicts", waits <= limit, told, open=waits, decided=counts.decided
        )
    if "dead_letters" in wanted:
        letters, limit = counts.dead_letters, mapping.checks.dead_letters.limit
        told = f"{letters:,} dead letters; up to {limit:,} may be"
        if letters:
            told += f": `syncline dead-letters list {mapping.name}`"
        yield result_of(mapping, "dead_letters", letters <= limit, told, dead_letters=letters)


def freshness(mapping: Mapping, synced_at: str | None) -> dg.AssetCheckResult:
    """Whether the last sync (UTC) is no older than `max_lag`; one that never was is older."""
    assert mapping.max_lag is not None
    limit = mapping.max_lag.total_seconds()
    if synced_at is None:
        told = f"never synced: `syncline run {mapping.name}`"
        return result_of(mapping, "freshness", passed=False, told=told, max_lag_seconds=limit)
    lag = (datetime.now(UTC) - datetime.fromisoformat(synced_at)).total_seconds()
    told = f"synced {lag:,.0f} s ago; `max_lag` is {limit:,.0f} s"
    passed = lag <= limit
    return result_of(
        mapping, "freshness", passed, told, lag_seconds=round(lag, 1), max_lag_seconds=limit
    )


def drifted(mapping: Mapping, found: Sequence[str]) -> dg.AssetCheckResult:
    """Whether columns that the mapping uses changed: `found` says which, and how."""
    told = "\n".join(f"- {each}" for each in found) or "no column that is used changed"
    return result_of(mapping, "drift", not found, told, columns=len(found))


def _scanned(
    project: Project, mapping: Mapping, wanted: Collection[str], cancelled: Cancelled
) -> Iterator[dg.AssetCheckResult]:
    if "duplicates" in wanted:
        yield _duplicates(project, mapping)
    if "parity" in wanted:
        yield _parity(project, mapping, cancelled)


def _parity(project: Project, mapping: Mapping, cancelled: Cancelled) -> dg.AssetCheckResult:
    from syncline.verify import verify

    return parity_of(mapping, verify(project, mapping.name, on_progress=ends(mapping, cancelled)))


def ends(mapping: Mapping, cancelled: Cancelled) -> Callable[[Progress], None]:
    """What ends a comparison, told its progress, once it is cancelled."""
    from syncline.sync import Cancelled as WasCancelled

    def look(_: Progress) -> None:
        if cancelled():
            raise WasCancelled(f"the parity of {mapping.name} was cancelled")

    return look


def parity_of(mapping: Mapping, report: VerifyReport) -> dg.AssetCheckResult:
    """The result of `parity`, as a comparison found it."""
    limit = mapping.checks.parity.limit
    metadata = _numbers(report)
    if report.samples:
        metadata["samples"] = differences(mapping, report.samples)
    told = _parity_told(report)
    return result_of(mapping, "parity", report.differences <= limit, told, **metadata)


def _parity_told(report: VerifyReport) -> str:
    if not report.differences:
        return f"all {report.read:,} records are equal, late or rightly apart"
    fields = ", ".join(f"{name} ({count:,})" for name, count in report.fields.items())
    return (
        f"{report.missing:,} missing, {report.extra or 0:,} extra, {report.different:,} different"
        f"{f' in {fields}' if fields else ''}: `syncline repair {report.mapping}`"
    )


def _numbers(report: VerifyReport) -> dict[str, Any]:
    names = ("read", "equal", "missing", "different", "late", "dead_letters", "outside")
    numbers: dict[str, Any] = {name: getattr(report, name) for name in names}
    if report.extra is not None:
        numbers["extra"] = report.extra
    numbers |= {f"apart_{reason}": count for reason, count in report.apart.items()}
    return {**numbers, "seconds": report.seconds, "rows_per_second": report.rows_per_second}


def _duplicates(project: Project, mapping: Mapping) -> dg.AssetCheckResult:
    with _opened(project, mapping.name) as run:
        found = {"source": list(run.source.duplicate_keys(run.read.table, list(run.source_key)))}
        if run.bound.target_info is not None:
            found["target"] = list(run.target.duplicate_keys(run.spec.table, list(run.spec.key)))
    told = [
        f"- {side}: {', '.join(str(key) for key in keys)}" for side, keys in found.items() if keys
    ]
    shown = "\n".join(["keys that are not unique, the first of them:", *told])
    counts = {f"{side}_shown": len(keys) for side, keys in found.items()}
    return result_of(
        mapping, "duplicates", not told, shown if told else "every key is unique", **counts
    )


@contextmanager
def _opened(project: Project, name: str) -> Generator[Opened]:
    from syncline.run import opened  # here, since loading the definitions needs no engine

    with opened(project, name) as run:
        yield run
