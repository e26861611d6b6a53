"""`syncline backfill`: a range of a source again, in chunks, resumed by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from syncline.cli.command import JsonOption, the_project
from syncline.cli.command import end as end_with
from syncline.cli.progress import bar, stoppable
from syncline.cli.run import Reason, told, waits
from syncline.errors import InputError

if TYPE_CHECKING:
    from syncline.backfill import Wanted
    from syncline.mapping.model import Mapping
    from syncline.sync import RunSummary

From = Annotated[
    str | None, typer.Option("--from", help="Where the range starts; open if not given.")
]
To = Annotated[
    str | None, typer.Option("--to", help="Where it ends, not included; open if not given.")
]


def backfill(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The mapping.")],
    *,
    by: Annotated[
        Literal["cursor", "key"] | None,
        typer.Option(
            help="What the range is of: the delta's cursor, or the first key column. Without it, "
            "what the mapping's `backfill:` says."
        ),
    ] = None,
    start: From = None,
    end: To = None,
    chunk: Annotated[
        str | None,
        typer.Option(help="Cut the range: 30m, 6h, 1d, 1w, 1mo, 1y, or a number of keys."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Chunks under way at once.")] = 1,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin again with the first chunk.")
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Records in a batch.")
    ] = None,
    allow: Annotated[
        list[Reason] | None,
        typer.Option(help="Let the run pass the guard that stopped it; may be repeated."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 5 where something waits for a person.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Sync a range of the source again.

    The range is [from, to); instants are UTC. Stopped, the same command goes on with the chunks
    that are not done. The delta's checkpoint stays where it is.
    """
    from syncline import backfill as engine
    from syncline.sync import RunOptions

    project = the_project()
    asked = _asked(project.mapping(name), by, start, end, chunk)
    last: RunSummary | None = None
    with stoppable() as told_to_end, bar(name) as report:
        options = RunOptions(
            batch_size=batch_size,
            allow=frozenset(str(reason) for reason in allow or ()),
            on_progress=report,
            cancelled=told_to_end,
        )
        for _, last in engine.backfill(
            project, name, asked, options, workers=workers, restart=restart
        ):
            told(last, as_json=as_json)
    if last is None:
        if not as_json:
            typer.echo(f"{name}: every chunk is done already; --restart begins again")
        return
    end_with([5 if strict and waits(project, last) else 0])


def _asked(
    mapping: Mapping,
    by: Literal["cursor", "key"] | None,
    start: str | None,
    end: str | None,
    chunk: str | None,
) -> Wanted:
    from syncline.backfill import Asked, Declared

    if by is not None:
        return Asked(by, start, end, chunk)
    if (start, end, chunk) != (None, None, None):
        raise InputError("--from, --to and --chunk go with --by", hint="--by cursor, or --by key")
    if mapping.backfill is None:
        hint = "--by cursor --from .. --to .., or write `backfill:` into the mapping"
        raise InputError(f"{mapping.name} does not say what it is backfilled by", hint=hint)
    return Declared(mapping.backfill, datetime.now(UTC))
