"""The commands of `syncline`, by name, in the order of `syncline --help`."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline import __version__
from syncline.cli import (
    alerts,
    audit,
    backfill,
    conflicts,
    dead_letters,
    drafts,
    project,
    resolve,
    rules,
    run,
    runs,
    serve,
    state,
    verify,
)
from syncline.cli.command import (
    DebugOption,
    LogOption,
    ProjectOption,
    command,
    default_to,
)


def group(text: str | None = None) -> typer.Typer:
    """A group of commands.

    Plain help: rich's would cost more than `--help` may take where nothing is compiled yet.
    """
    return typer.Typer(
        help=text, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )


app = group()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"syncline {__version__}")
        raise typer.Exit


@app.callback()
def root(
    project: ProjectOption = None,
    debug: DebugOption = False,
    log: LogOption = None,
    version: Annotated[  # noqa: ARG001 - answered before any command
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which this is.")
    ] = False,
) -> None:
    """Keep records in step between PostgreSQL, MySQL/MariaDB, SQLite and MongoDB."""
    default_to(project, debug=debug, log=log)


command(app, "demo")(project.demo)
command(app, "init")(project.init)
command(app, "map")(project.map_)
command(app, "check")(project.check)
command(app, "plan")(run.plan)
command(app, "run")(run.run)
command(app, "backfill")(backfill.backfill)
command(app, "verify")(verify.verify)
command(app, "repair")(verify.repair)
command(app, "status")(state.status)
command(app, "serve")(serve.serve)

_runs = group("List and show what has run.")
command(_runs, "list")(runs.runs_list)
command(_runs, "show")(runs.runs_show)
app.add_typer(_runs, name="runs")

_conflicts = group("List, show and decide what waits for a person.")
command(_conflicts, "list")(conflicts.conflicts_list)
command(_conflicts, "show")(conflicts.conflicts_show)
command(_conflicts, "resolve")(resolve.conflicts_resolve)
command(_conflicts, "undo")(resolve.conflicts_undo)
command(_conflicts, "drafts")(drafts.conflicts_drafts)
command(_conflicts, "export")(conflicts.conflicts_export)
command(_conflicts, "audit")(audit.conflicts_audit)
_rules = group("Decisions that are remembered, and settle what a person would be asked.")
command(_rules, "list")(rules.rules_list)
command(_rules, "suggest")(rules.rules_suggest)
command(_rules, "add")(rules.rules_add)
command(_rules, "apply")(rules.rules_apply)
command(_rules, "remove")(rules.rules_remove)
_conflicts.add_typer(_rules, name="rules")
app.add_typer(_conflicts, name="conflicts")

_dead_letters = group(
    "List, show, mend, replay and drop records that could not be mapped or written."
)
command(_dead_letters, "list")(dead_letters.dead_letters_list)
command(_dead_letters, "show")(dead_letters.dead_letters_show)
command(_dead_letters, "replay")(dead_letters.dead_letters_replay)
command(_dead_letters, "mend")(dead_letters.dead_letters_mend)
command(_dead_letters, "drop")(dead_letters.dead_letters_drop)
app.add_typer(_dead_letters, name="dead-letters")

_checkpoint = group("Show and move where the next delta starts.")
command(_checkpoint, "show")(state.checkpoint_show)
command(_checkpoint, "set")(state.checkpoint_set)
command(_checkpoint, "rewind")(state.checkpoint_rewind)
app.add_typer(_checkpoint, name="checkpoint")

_alerts = group("List, test and send what is told to SYNCLINE_ALERT_URL.")
command(_alerts, "list")(alerts.alerts_list)
command(_alerts, "test")(alerts.alerts_test)
command(_alerts, "send")(alerts.alerts_send)
command(_alerts, "resume")(alerts.alerts_resume)
app.add_typer(_alerts, name="alerts")
