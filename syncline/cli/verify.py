"""`syncline verify` and `syncline repair`: whether both sides are equal, and making them so."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from syncline.cli import show
from syncline.cli.command import JsonOption, YesOption, chosen, confirm, end, note, the_project
from syncline.cli.progress import bar
from syncline.cli.run import All, Names, failed
from syncline.errors import SynclineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncline.compare import VerifyReport
    from syncline.difference import Sample
    from syncline.repair import RepairReport

Each = Annotated[
    bool, typer.Option("--each", help="Read and compare each record here, without checksums.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=16, help="Share it out by ranges of keys; else as mapped."),
]
Limit = Annotated[int, typer.Option(min=0, help="Records shown that are not alike.")]


def verify(
    names: Names = None,
    *,
    everything: All = False,
    limit: Limit = 10,
    each: Each = False,
    workers: Workers = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether both sides hold the same.

    It compares mapped values, in one form whatever the databases, and writes nothing. Records that
    wait, that a decision keeps apart, or that the next run has yet to bring are told apart from
    those that differ. Exit codes: 0 equal, 5 some records are missing, extra or different.
    """
    from syncline.verify import verify as look

    project = the_project()
    codes: list[int] = []
    for name in chosen(project, names, everything=everything):
        try:
            with bar(name) as report:
                found = look(
                    project, name, limit=limit, each=each, workers=workers, on_progress=report
                )
        except SynclineError as error:
            codes.append(failed(name, error, as_json=False, mode=None))
            continue
        codes.append(5 if found.differences else 0)
        if as_json:
            show.line(found.as_dict())
            continue
        typer.echo(sentence(found))
        _samples(found.samples)
        if found.differences:
            note(f"to put that right: syncline repair {name}")
    end(codes)


def repair(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The mapping.")],
    *,
    limit: Limit = 10,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Settle just the records that differ.

    It verifies, asks, and sends them through the mapping's strategies and guards as a run would;
    then it looks at them again. Exit codes: 0 they are equal now, 5 something is left.
    """
    from syncline.repair import repair as mend

    project = the_project()
    project.mapping(name)

    def agree(found: VerifyReport) -> None:
        if not as_json:
            typer.echo(sentence(found))
            _samples(found.samples)
        which = f"{found.differences:,} record{'s' if found.differences > 1 else ''}"
        confirm(f"Settle {which} of {name} on the target?", yes=yes)

    # A bar that still moves would draw over the question.
    with bar(name) if yes else nullcontext() as progress:
        report = mend(project, name, agree=agree, limit=limit, on_progress=progress)
    if as_json:
        show.line(report.as_dict())
    else:
        typer.echo(repaired(report))
        _samples(report.samples)
        if report.left:
            note(f"look at: syncline conflicts list {name}; syncline dead-letters list {name}")
    end([5 if report.left else 0])


def sentence(report: VerifyReport) -> str:
    """How the sides stand, for a person: only the counts that are not zero."""
    fields = ", ".join(f"{name} {count:,}" for name, count in report.fields.items())
    reasons = ", ".join(f"{count:,} {name}" for name, count in report.apart.items())
    parts = [
        f"{report.read:,} read",
        _counted(report.equal, "equal"),
        _counted(report.missing, "missing"),
        _counted(report.extra or 0, "extra"),
        _counted(report.different, f"different ({fields})" if fields else "different"),
        _counted(report.late, "late"),
        _counted(sum(report.apart.values()), f"apart ({reasons})"),
        _counted(report.dead_letters, "dead letters"),
        _counted(report.outside, "outside where"),
    ]
    unknown = (
        ""
        if report.extra is not None
        else "; extra records can't be told (no ledger, or row security)"
    )
    told = ", ".join(part for part in parts if part)
    way = "by checksums" if report.by == "checksums" else "each compared"
    return f"{report.mapping}: {report.status}: {told}{unknown}; {way}, {report.seconds:.1f} s"


def repaired(report: RepairReport) -> str:
    """What a repair did, for a person."""
    if not report.found:
        return f"{report.mapping}: nothing to repair, {report.seconds:.1f} s"
    done = [
        _counted(report.inserted, "inserted"),
        _counted(report.updated, "updated"),
        _counted(report.deleted, "deleted"),
        _counted(report.queued, "queued"),
    ]
    what = ", ".join(part for part in done if part) or "nothing written"
    left = ", ".join(f"{n:,} {word.replace('_', ' ')}" for word, n in report.left.items())
    ending = f"left: {left}" if left else "they are equal now"
    return f"{report.mapping}: {report.found:,} differed: {what}; {ending}, {report.seconds:.1f} s"


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}" if number else ""


def _samples(samples: Iterable[Sample]) -> None:
    rows = [
        (one.what, one.key, name, source, target)
        for one in samples
        for name, (source, target) in (one.fields or {"-": [None, None]}).items()
    ]
    if rows:
        show.table(("what", "key", "field", "source", "target"), rows)
