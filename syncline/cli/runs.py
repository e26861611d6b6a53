"""`syncline runs`: the history of runs, each with its numbers, what it settled, and its log."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from syncline.cli import show
from syncline.cli.chosen import Limit, OneName
from syncline.cli.command import JsonOption, the_project, the_store

if TYPE_CHECKING:
    from syncline.store import AuditEntry, Run

_SETTLED: Final = 1_000
"""How much of what a run settled is shown."""
_COUNTS: Final = ("read", "inserted", "updated", "deleted", "conflicts", "dead_letters")


def runs_list(
    name: OneName = None,
    *,
    limit: Limit = 50,
    before: Annotated[
        str | None, typer.Option(metavar="ID", help="Those that began before this one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, the newest first."""
    from syncline.log import redacted

    project = the_project()
    if name is not None:
        project.mapping(name)
    with the_store(project) as store:
        found = store.runs(name, limit=limit, before=before)
    if as_json:
        for run in found:
            show.line(asdict(run) | {"error": redacted(run.error)})
    elif not found:
        typer.echo("nothing has run yet")
    else:
        show.table(
            ("run", "mapping", "mode", "status", "began", "seconds", *_COUNTS),
            [
                (
                    run.run_id, run.mapping, run.mode, run.status, show.when(run.started_at),
                    _took(run),
                    *(run.summary.get(count, "") for count in _COUNTS),
                )
                for run in found
            ],
        )  # fmt: skip


def runs_show(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The run, as in `runs list`.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show a run: its numbers, what it settled, its log as far as it is kept."""
    from syncline.log import kept, redacted

    project = the_project()
    with the_store(project) as store:
        run = store.run(run_id)
        settled = _settled(project, store.audit_log(run_id=run_id, limit=_SETTLED))
    error, log = redacted(run.error), redacted(kept(project.log_dir, run_id))
    if as_json:
        show.line(asdict(run) | {"error": error, "log": log, "audit": settled})
        return
    facts = {
        "run_id": run.run_id, "mapping": run.mapping, "mode": run.mode, "by": run.trigger,
        "status": run.status, "error": error, "began": run.started_at, "seconds": _took(run),
    }  # fmt: skip
    show.facts(facts | {k: v for k, v in run.summary.items() if k not in facts and v != []})
    if settled:
        columns = ("key", "kind", "by", "winner", "loser", "note")
        show.table(
            columns, [[one[column] for column in columns] for one in settled], title="settled"
        )
    typer.echo(log, nl=False)


def _took(run: Run) -> float | str:
    ended = run.finished_at
    return "" if ended is None else round((ended - run.started_at).total_seconds(), 3)


def _settled(project: Any, found: list[AuditEntry]) -> list[dict[str, Any]]:
    from syncline.review.mask import masks_of, shown_record

    masks = masks_of(project)
    return [
        asdict(one) | {"loser": shown_record(one.loser, masks(one.mapping)) or {}} for one in found
    ]
