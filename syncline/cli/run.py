"""`syncline run` and `syncline plan`: bring mappings in step, or say what that would do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from syncline.cli import show
from syncline.cli.command import JsonOption, chosen, end, note, tell, the_project, the_store
from syncline.cli.progress import bar, stoppable
from syncline.errors import InputError, SynclineError

if TYPE_CHECKING:
    from syncline.plan import PlanReport
    from syncline.project import Project
    from syncline.sync import RunOptions, RunSummary


class Reason(StrEnum):
    """A guard that a run may be told to pass."""

    EMPTY_SOURCE = "empty-source"
    DELETES = "deletes"
    SCHEMA = "schema"
    OTHER_DATABASE = "other-database"
    CONFLICTS = "conflicts"


Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Mappings.")]
All = Annotated[bool, typer.Option("--all", help="Every mapping of the project.")]

_SAMPLES: Final = (10, 3)
"""Of each effect, in the plan of one mapping, and in those of several."""
RUN_KEYS: Final = (
    "mapping", "run_id", "mode", "status", "guarantee", "read", "inserted", "updated", "deleted",
    "unchanged", "conflicts", "queued", "dead_letters", "seconds", "rows_per_second", "checkpoint",
    "warnings",
)  # fmt: skip
"""What `run --json` prints of every mapping, also of one that failed."""
COUNTS: Final = (
    "read", "inserted", "updated", "deleted", "unchanged", "conflicts", "queued", "dead_letters",
)  # fmt: skip


def run(
    names: Names = None,
    *,
    everything: All = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read every record, not only what changed.")
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Records in a batch.")
    ] = None,
    allow: Annotated[
        list[Reason] | None,
        typer.Option(help="Let the run pass the guard that stopped it; may be repeated."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Processes that share a full sync; else as mapped."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin an unfinished full sync again.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 5 where something waits for a person.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring targets in step with their sources.

    It starts at the checkpoint. The first run of a mapping is a full sync. A run that was stopped,
    however it was, goes on where it stopped. Exit codes: 0 done, 1 failed and may pass, 2 your
    input is wrong, 3 stopped by a guard, 4 another run holds the lease, 5 (--strict) something
    waits for a person.
    """
    from syncline.sync import RunOptions

    found = the_project()
    selected = chosen(found, names, everything=everything)
    options = RunOptions(
        mode="full" if full else None,
        batch_size=batch_size,
        allow=frozenset(str(reason) for reason in allow or ()),
        restart=restart,
        workers=workers,
    )
    codes: list[int] = []
    with stoppable() as told_to_end, found.keeping_open() as project:
        for name in selected:
            codes.append(_one(project, name, options, told_to_end, as_json=as_json, strict=strict))
            if told_to_end():
                break
    end(codes)


def _one(
    project: Project,
    name: str,
    options: RunOptions,
    told_to_end: Any,
    *,
    as_json: bool,
    strict: bool,
) -> int:
    from dataclasses import replace

    from syncline.sync import run as sync

    try:
        with bar(name) as report:
            summary = sync(
                project, name, replace(options, on_progress=report, cancelled=told_to_end)
            )
    except SynclineError as error:
        return failed(name, error, as_json=as_json, mode=options.mode)
    told(summary, as_json=as_json)
    return 5 if strict and waits(project, summary) else 0


def failed(name: str, error: SynclineError, *, as_json: bool, mode: str | None) -> int:
    """Say that a mapping failed; its exit code. Other mappings go on."""
    tell(error)
    if as_json:
        nothing = dict.fromkeys(RUN_KEYS)
        show.line(
            nothing
            | {"mapping": name, "mode": mode, "status": "failed"}
            | {"error": _first_line(error), "exit_code": error.exit_code}
        )
    return error.exit_code


def _first_line(error: SynclineError) -> str:
    from syncline.log import redacted

    return redacted(str(error)).partition("\n")[0]


def told(summary: RunSummary, *, as_json: bool) -> None:
    """Print what a run did."""
    content = summary.as_dict()
    if as_json:
        show.line({name: content[name] for name in RUN_KEYS})
        return
    typer.echo(sentence(content))


def sentence(summary: Mapping[str, Any]) -> str:
    """What a run did, for a person: only the counts that are not zero."""
    counts = [
        f"{summary[name]:,} {name.replace('_', ' ')}" for name in COUNTS if summary[name]
    ] or ["nothing to read"]
    speed = f" ({summary['rows_per_second']:,} rows/s)" if summary["read"] else ""
    wrote = any(summary[name] for name in ("inserted", "updated", "deleted"))
    quiet = "" if wrote else "; nothing written"
    return (
        f"{summary['mapping']}: {summary['mode']}, {summary['guarantee']}: {', '.join(counts)}"
        f"{quiet}, {summary['seconds']:.1f} s{speed}"
    )


def waits(project: Project, summary: RunSummary) -> bool:
    """Whether something of this mapping waits for a person; says where to look."""
    from syncline.review.links import conflicts_link

    with the_store(project) as store:
        counts = store.counts(summary.mapping)
    if counts.open_conflicts:
        at = conflicts_link(summary.mapping) or f"syncline conflicts list {summary.mapping}"
        note(f"{counts.open_conflicts:,} conflicts wait: {at}")
    if counts.dead_letters:
        note(f"{counts.dead_letters:,} dead letters: syncline dead-letters list {summary.mapping}")
    return bool(counts.open_conflicts or counts.dead_letters)


def plan(
    names: Names = None,
    *,
    everything: All = False,
    key: Annotated[
        str | None,
        typer.Option(help="Follow one record through every step, by the key of its source."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="What a full sync would do, not a delta.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0, help="Sample records of each effect; else 10, or 3 of several mappings."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a run would do; writes nothing.

    Counts, samples and what the run promises. Without a name it looks at every mapping.
    """
    from syncline.plan import plan as look

    project = the_project()
    selected = chosen(project, names, everything=everything or not names)
    if key is not None and len(selected) != 1:
        message = "--key follows a record of one mapping: name that one"
        raise InputError(message)
    samples = limit if limit is not None else _SAMPLES[len(selected) > 1]
    codes: list[int] = []
    for name in selected:
        try:
            report = look(project, name, key=key, limit=samples, full=full)
        except SynclineError as error:
            codes.append(failed(name, error, as_json=False, mode=None))
            continue
        if as_json:
            show.line(report.as_dict())
        else:
            _planned(report)
    end(codes)


def _planned(report: PlanReport) -> None:
    counts = ", ".join(f"{count:,} {effect}" for effect, count in report.counts.items() if count)
    if report.mode != "key":
        typer.echo(f"{report.mapping}: {report.mode} of {report.read:,}: {counts or 'nothing'}")
        show.facts({"  promise": f"{report.guarantee}: {report.why}", "  stops": report.stopped})
        show.facts({"  drift": "; ".join(report.drift), "  gone": report.keys})
        show.facts({"  warning": " | ".join(report.warnings)})
    for step in report.steps:
        content = {name: value for name, value in step.items() if name != "step"}
        typer.echo(f"{step['step']}")
        show.facts({f"  {name}": value for name, value in content.items()})
    rows = [
        (sample["effect"], sample["key"], name, now, would)
        for sample in report.samples
        for name, (now, would) in sample["fields"].items()
    ]
    if rows:
        show.table(("effect", "key", "field", "target now", "would be"), rows)
