"""What every command shares: where the project is, how errors end it, and how a person is asked."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from syncline.errors import InputError, SynclineError
from syncline.postpone import import_without

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.store import Store

Function = Callable[..., None]
LogFormat = Literal["console", "json"]

ProjectOption = Annotated[
    Path | None,
    typer.Option(
        "--project",
        metavar="DIR",
        help="The project; else SYNCLINE_PROJECT, else the nearest directory upwards that holds "
        "connections.yaml.",
    ),
]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Log every batch; show tracebacks of errors.")
]
LogOption = Annotated[
    LogFormat | None,
    typer.Option("--log", help="How logs are written to stderr; SYNCLINE_LOG sets it for all."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object a line on stdout, for scripts.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

GRAVITY: Final = (2, 1, 3, 4, 5, 0)
"""Exit codes from the gravest on: over several mappings the first of these that occurred."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a command line says to every command."""

    project: Path | None = None
    debug: bool = False
    log: LogFormat | None = None


_default: ContextVar[Given] = ContextVar("default", default=Given())  # noqa: B039 - frozen
_given: ContextVar[Given] = ContextVar("given", default=Given())  # noqa: B039 - frozen


def command(app: typer.Typer, name: str) -> Callable[[Function], Function]:
    """Register a function as a command that takes the common options and ends errors well."""

    def register(function: Function) -> Function:
        app.command(name)(_common(function))
        return function

    return register


def _common(function: Function) -> Function:
    own = inspect.signature(function, eval_str=True)

    @functools.wraps(function)
    def run(**options: Any) -> None:
        token = _given.set(_merged(options))
        # It would import rich to show tracebacks, which our logs leave plain.
        import_without("structlog", "rich")
        try:
            function(**options)
        except SynclineError as error:
            tell(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
            raise typer.Exit(130) from None
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - the last one to see it
            tell(error)
            raise typer.Exit(1) from None
        finally:
            _given.reset(token)

    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, default, kind in (
            ("project", None, ProjectOption),
            ("debug", False, DebugOption),
            ("log", None, LogOption),
        )
    ]
    parameters = [*own.parameters.values(), *shared]
    run.__signature__ = own.replace(  # pyright: ignore[reportAttributeAccessIssue] - as inspect has it
        parameters=[one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    )
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _merged(options: dict[str, Any]) -> Given:
    """What is said after the command's name goes before what is said ahead of it."""
    default = _default.get()
    return Given(
        project=options.pop("project") or default.project,
        debug=options.pop("debug") or default.debug,
        log=options.pop("log") or default.log,
    )


def default_to(project: Path | None, *, debug: bool, log: LogFormat | None) -> None:
    """What was said ahead of the command's name."""
    _default.set(Given(project, debug, log))


def tell(error: BaseException) -> None:
    """Show an error on stderr: what happened, what to do next, and with `--debug` where."""
    from syncline.log import redacted

    if _given.get().debug:
        text = "".join(traceback.format_exception(error))
        typer.echo(redacted(text), err=True)
    message, hint = str(error), getattr(error, "hint", "")
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"  # a disk or a right, no fault of ours
    elif not isinstance(error, SynclineError):
        message = f"{type(error).__name__}: {error}"
        hint = "this is a fault of syncline: run it again with --debug and report what it shows"
    first, *rest = redacted(message).splitlines() or [""]
    typer.echo(f"error: {first}", err=True)
    for line in rest:
        typer.echo(f"       {line}", err=True)
    if hint:
        typer.echo(f"hint: {redacted(hint)}", err=True)


def note(text: str) -> None:
    """Tell a person something that is not the answer: on stderr."""
    typer.echo(text, err=True)


def the_project() -> Project:
    """The project of this command line, with logs begun and its secrets hidden from now on.

    Raises InputError where there is none.
    """
    from syncline.project import Project

    given = _given.get()
    project = Project.find(explicit=given.project)
    _begin_logs(given, project)
    return project


def given_project() -> Path | None:
    """The directory that `--project` names, for what needs no project that is there already."""
    return _given.get().project


def _begin_logs(given: Given, project: Project) -> None:
    from syncline import log
    from syncline.connections import secrets_of

    form: Any = given.log or os.environ.get("SYNCLINE_LOG") or None
    if form not in {None, "console", "json"}:
        message = f"SYNCLINE_LOG is {form!r}"
        raise InputError(message, hint="SYNCLINE_LOG=console or SYNCLINE_LOG=json")
    at_terminal = sys.stderr.isatty() and form is None
    log.configure(form, "debug" if given.debug else "warning" if at_terminal else "info")
    log.keep(project.log_dir)
    log.hide(secrets_of(project.store_url))
    for name in _readable_names(project):
        try:
            log.hide(project.connections[name].secrets)
        except InputError:  # its variable is not set: then there is no secret either
            continue


def _readable_names(project: Project) -> Iterable[str]:
    try:
        return list(project.connections)
    except InputError:  # told, with its line, by whatever needs the connections
        return ()


def the_store(project: Project) -> Store:
    """The project's control store, opened."""
    from syncline.store import Store

    return Store.open(project.store_url)


def chosen(project: Project, names: Iterable[str] | None, *, everything: bool) -> list[str]:
    """The mappings that a command is about, those that others come `after` first.

    Raises InputError where none is named and `everything` is not wanted; MappingErrors for all that
    is wrong with any of them.
    """
    from syncline.errors import MappingErrors

    wanted = list(dict.fromkeys(names or ()))
    if wanted and everything:
        message = "name mappings, or give --all: not both"
        raise InputError(message)
    if wanted:
        mappings = {name: project.mapping(name) for name in wanted}
    elif everything:
        right, problems = project.mappings()
        if problems:
            raise MappingErrors(problems)
        mappings = {mapping.name: mapping for mapping in right}
    else:
        message = "which mapping? name one or more, or give --all"
        raise InputError(message, hint=f"there are: {', '.join(_names(project)) or 'none yet'}")
    return _in_order({name: mapping.after for name, mapping in mappings.items()})


def _names(project: Project) -> list[str]:
    return [path.stem for path in project.mapping_paths]


def _in_order(after: dict[str, list[str]]) -> list[str]:
    from graphlib import CycleError, TopologicalSorter

    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, earlier in after.items():
        sorter.add(name, *(one for one in earlier if one in after))
    try:
        return list(sorter.static_order())
    except CycleError as error:
        message = f"these mappings each come after the other: {' -> '.join(error.args[1])}"
        raise InputError(message, hint="mend `after:` in one of them") from error


def gravest(codes: Iterable[int]) -> int:
    """The exit code of several mappings: the gravest of theirs."""
    return min(codes, key=GRAVITY.index, default=0)


def end(codes: Iterable[int]) -> None:
    """End the command with the gravest of these exit codes."""
    if code := gravest(codes):
        raise typer.Exit(code)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed. Raises InputError where nobody is there to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        message = f"{question} There is no terminal to ask at"
        raise InputError(message, hint="if so, give --yes")
    if not typer.confirm(question, default=False, err=True):
        note("nothing was changed")
        raise typer.Exit(1)
