"""`syncline init`, `check`, `map` and `demo`: a project from nothing, and whether it is right."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncline.cli import show
from syncline.cli.command import (
    JsonOption,
    chosen,
    end,
    given_project,
    note,
    tell,
    the_project,
)
from syncline.cli.run import All, Names
from syncline.errors import InputError, MappingErrors, Problem, SynclineError

if TYPE_CHECKING:
    from syncline.project import Project


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
) -> None:
    """Make a project, with examples.

    Connections, a mapping, a strategy, hooks. Where one of its files is there already, nothing is
    written.
    """
    from syncline.scaffold import make

    for path in make(directory):
        typer.echo(f"  {path}")
    typer.echo(f"a project in {directory}. Next:")
    typer.echo(f"  cd {shlex.quote(str(directory))}")
    typer.echo("  cp .env.example .env             # and write your two databases into it")
    typer.echo("  syncline map source.TABLE target.TABLE")


def check(
    names: Names = None,
    *,
    everything: All = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only read the files; open no database.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find every problem of the mappings at once.

    In the files, and against both live databases. Without a name it checks all. Exit 2 where
    something is wrong, 1 where a database can't be reached.
    """
    project = the_project()
    problems, right = _files(project, names, everything=everything or not names)
    codes: list[int] = []
    told: set[str] = set()
    for name in [] if offline else list(right):
        try:
            _databases(project, name)
        except MappingErrors as errors:
            problems.extend(errors.problems)
        except SynclineError as error:
            if str(error) not in told:  # a connection has many mappings
                tell(error)
            told.add(str(error))
            codes.append(error.exit_code)
            right.remove(name)
    _report(problems, right, len(codes), as_json=as_json)
    end([*codes, 2] if problems else codes)


def _files(
    project: Project, names: list[str] | None, *, everything: bool
) -> tuple[list[Problem], list[str]]:
    """The problems of the files, and the mappings that have none."""
    list(project.connections)
    if everything:
        mappings, problems = project.mappings()
        return problems, [mapping.name for mapping in mappings]
    problems, right = list[Problem](), list[str]()
    for name in dict.fromkeys(names or ()):
        try:
            right += chosen(project, [name], everything=False)
        except MappingErrors as errors:
            problems.extend(errors.problems)
    return problems, right


def _databases(project: Project, name: str) -> None:
    from syncline.run import opened

    with opened(project, name) as run:  # opening binds, and binding looks at everything
        for told in run.bound.warnings:
            note(f"warning: {name}: {told}")


def _report(problems: list[Problem], right: list[str], unseen: int, *, as_json: bool) -> None:
    from syncline.log import redacted

    broken = {problem.where.rpartition(":")[0] for problem in problems}
    if as_json:
        for problem in problems:
            where, _, line = problem.where.rpartition(":")
            show.line(
                {
                    "file": where,
                    "line": int(line) if line.isdigit() else None,
                    "path": problem.path,
                    "message": redacted(problem.message),
                }
            )
        return
    for problem in problems:
        note(f"error: {redacted(str(problem))}")
    if problems:
        note(f"problems: {len(problems)}, in files: {len(broken)}")
    elif right or not unseen:
        count = "1 mapping is" if len(right) == 1 else f"{len(right)} mappings are"
        typer.echo(f"{count} right" if right else "there are no mappings yet")
    if unseen:
        note(f"not checked against their databases: {unseen}")


def map_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="CONNECTION.TABLE, as crm.public.customers.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="The same; a CONNECTION alone is its table of that name."
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option(help="The mapping's name; the source table's if not given.")
    ] = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print it; write no file.")] = False,
) -> None:
    """Write a mapping from two live tables.

    It is commented, and passes `check`.
    """
    project = the_project()
    text = _draft(project, _place(source, needs_table=True), _place(target, needs_table=False))
    if stdout:
        typer.echo(text, nl=False)
        return
    path = project.mappings_dir / f"{name or _stem(source)}.yaml"
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        message = f"{path} is there already"
        raise InputError(message, hint="give --name, or --stdout to see the new one") from error
    typer.echo(f"{path}")
    typer.echo(f"next: syncline check {path.stem} && syncline plan {path.stem}")


def _draft(project: Project, source: tuple[str, str], target: tuple[str, str]) -> str:
    from contextlib import closing

    from syncline.mapping.draft import draft

    with closing(project.open(source[0])) as one, closing(project.open(target[0])) as other:
        return draft(
            one,
            source[1],
            other,
            target[1] or None,
            source_connection=source[0],
            target_connection=target[0],
        )


def _place(text: str, *, needs_table: bool) -> tuple[str, str]:
    connection, _, table = text.partition(".")
    if not connection or (needs_table and not table):
        message = f"{text!r} names no table of a connection"
        raise InputError(message, hint="CONNECTION.TABLE, as crm.public.customers")
    return connection, table


def _stem(table: str) -> str:
    last = table.rpartition(".")[2].lower()
    return "".join(letter if letter.isalnum() else "_" for letter in last)


def demo(
    *,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove everything that the demo made.")
    ] = False,
) -> None:
    """See it work, on 336,776 real flights.

    Starts databases of its own, syncs, edits both sides, and settles the conflicts.
    """
    from syncline.demo import main

    end([main(clean=clean, project=given_project())])
