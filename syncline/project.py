"""A project: the directory of `connections.yaml`, `mappings/`, `resolvers/` and `hooks.py`."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from syncline.connections import (
    FILE,
    Connections,
    environment_of,
    load_connections,
    open_endpoint,
)
from syncline.endpoints.base import Endpoint
from syncline.errors import InputError, MappingErrors, Problem, reaching
from syncline.mapping.document import shown
from syncline.mapping.forms import PythonForm
from syncline.mapping.load import load_mapping, load_mappings, mapping_paths
from syncline.mapping.model import Mapping
from syncline.postpone import wanted
from syncline.rule import Rule
from syncline.rulebook import load_rules, rules_path
from syncline.strategy import load_strategy

PROJECT_VARIABLE: Final = "SYNCLINE_PROJECT"
STORE_VARIABLE: Final = "SYNCLINE_STORE_URL"


@dataclass(frozen=True)
class Project:
    """A user's project. Nothing is read before it is asked for."""

    root: Path
    _kept: dict[str, list[Endpoint]] | None = field(default=None, repr=False, compare=False)
    """Databases that nobody uses now and that stay open, by connection."""

    @staticmethod
    def find(start: Path | None = None, explicit: Path | None = None) -> Project:
        """The project: `explicit`, else SYNCLINE_PROJECT, else the nearest directory from `start`
        (the working directory) upwards that holds `connections.yaml`. Raises InputError where there
        is none.
        """
        if explicit is not None:
            return Project._at(explicit, "--project")
        if named := os.environ.get(PROJECT_VARIABLE):
            return Project._at(Path(named), PROJECT_VARIABLE)
        here = (start or Path.cwd()).resolve()
        for directory in (here, *here.parents):
            if (directory / FILE).is_file():
                return Project(directory)
        raise InputError(
            f"no project here: neither {here} nor any directory above it holds {FILE}",
            hint="syncline init DIR makes one; --project DIR or SYNCLINE_PROJECT names one",
        )

    @staticmethod
    def _at(path: Path, by: str) -> Project:
        root = path.expanduser().resolve()
        if not (root / FILE).is_file():
            raise InputError(f"{root} ({by}) holds no {FILE}", hint=f"syncline init {path}")
        return Project(root)

    @cached_property
    def connections(self) -> Connections:
        """The connections. Raises MappingErrors with all that is wrong in their file."""
        return load_connections(self.root)

    def open(self, name: str) -> Endpoint:
        """Open the database of this connection; the caller closes it."""
        connection = self.connections[name]
        with reaching(name):
            return open_endpoint(connection)

    @contextmanager
    def using(self, name: str) -> Generator[Endpoint]:
        """The database of this connection, for this block alone; closed at its end, or kept open
        for the next (`keeping_open`) where all went well.
        """
        idle = self._kept.get(name) if self._kept is not None else None
        endpoint = idle.pop() if idle else self.open(name)
        try:
            yield endpoint
        except BaseException:
            endpoint.close()
            raise
        if self._kept is None:
            endpoint.close()
        else:
            self._kept.setdefault(name, []).append(endpoint)

    @contextmanager
    def keeping_open(self) -> Generator[Project]:
        """This project, whose databases stay open from one use to the next until the block ends.

        For one thread: a connection to PostgreSQL takes 20 ms and more, and many runs follow.
        """
        kept: dict[str, list[Endpoint]] = {}
        try:
            project = copy(self)  # with what was read of it already
            object.__setattr__(project, "_kept", kept)
            yield project
        finally:
            for endpoint in chain.from_iterable(kept.values()):
                endpoint.close()

    @property
    def mappings_dir(self) -> Path:
        """Where mappings are."""
        return self.root / "mappings"

    @property
    def mapping_paths(self) -> list[Path]:
        """The files of the mappings, by name."""
        return mapping_paths(self.mappings_dir)

    def mapping(self, name: str) -> Mapping:
        """The mapping of that name. Raises MappingErrors with all that is wrong with it, InputError
        for no such.
        """
        paths = self.mapping_paths
        names = [path.stem for path in paths]
        if name in names:
            return self._mapping_at(paths[names.index(name)], names)
        near = get_close_matches(name, names, 1)
        raise InputError(
            f"there is no mapping {name!r} in {self.mappings_dir}",
            hint=f"did you mean {near[0]}?"
            if near
            else f"it holds: {', '.join(names) or 'none yet'}",
        )

    def each_mapping(self) -> Iterator[tuple[Path, Mapping | Exception]]:
        """Every mapping file, with its mapping or with what keeps it from being one.

        Whatever one file holds, the others are loaded.
        """
        paths = self.mapping_paths
        names = [path.stem for path in paths]
        for path in paths:
            try:
                yield path, self._mapping_at(path, names)
            except Exception as error:  # noqa: BLE001 - also what nobody thought of
                yield path, error

    def _mapping_at(self, path: Path, names: Collection[str]) -> Mapping:
        mapping = load_mapping(path)
        if problems := list(self._surroundings(mapping, names)):
            raise MappingErrors(problems)
        return mapping

    def mappings(self) -> tuple[list[Mapping], list[Problem]]:
        """Every mapping that is right, by name, and the problems of all the others."""
        loaded, problems = load_mappings(self.mappings_dir)
        right: list[Mapping] = []
        names = [path.stem for path in self.mapping_paths]
        for mapping in loaded:
            found = list(self._surroundings(mapping, names))
            problems.extend(found)
            if not found:
                right.append(mapping)
        return right, problems

    def _surroundings(self, mapping: Mapping, names: Collection[str]) -> Iterator[Problem]:
        """What of a mapping does not agree with the rest of the project, whose mappings have these
        names.
        """
        known = list(self.connections)
        places = [("source", mapping.source.connection), ("target", mapping.target.connection)]
        paths = [((part, "connection"), name) for part, name in places]
        paths += [
            (("lookups", n, "connection"), one.connection) for n, one in mapping.lookups.items()
        ]
        for path, name in paths:
            if name not in known:
                near = get_close_matches(name, known, 1)
                advice = f"did you mean `{near[0]}`?" if near else f"it holds: {', '.join(known)}"
                yield mapping.problem(path, f"there is no connection `{name}` in {FILE}; {advice}")
        for index, name in enumerate(mapping.after):
            if name not in names:
                yield mapping.problem(("after", index), f"there is no mapping `{name}`")
        yield from self._code(mapping)

    def _code(self, mapping: Mapping) -> Iterator[Problem]:
        conflicts = mapping.conflicts
        used = [(("conflicts", "strategy"), conflicts.strategy)]
        used += [(("conflicts", "fields", field), name) for field, name in conflicts.fields.items()]
        for path, name in used:
            try:
                load_strategy(name, self.resolvers_dir)
            except InputError as error:
                yield mapping.problem(path, f"{error}; {error.hint}" if error.hint else str(error))
        yield from self._rules_problems(mapping)
        for name, rule in mapping.fields.items():
            if isinstance(rule, PythonForm):
                try:
                    self.hooks.function(rule.python)
                except InputError as error:
                    yield mapping.problem(("fields", name, "python"), str(error))

    def _rules_problems(self, mapping: Mapping) -> Iterator[Problem]:
        try:
            rules = load_rules(rules_path(self.root, mapping.name))
        except MappingErrors as error:
            yield from error.problems
            return
        path = shown(rules_path(self.root, mapping.name))
        for number, rule in enumerate(rules, 1):
            if rule.field is not None and rule.field not in mapping.fields:
                message = f"rule {number}: `{rule.field}` is none of the fields of {mapping.name}"
                yield Problem(f"{path}:1", f"$[{number - 1}].field", message)

    @property
    def resolvers_dir(self) -> Path:
        """Where the project's own strategies are; it may be missing."""
        return self.root / "resolvers"

    def rules(self, name: str) -> tuple[Rule, ...]:
        """The remembered decisions of a mapping. Raises MappingErrors with all that is wrong."""
        found = load_rules(rules_path(self.root, name))
        masked = self.mapping(name).masked if found else frozenset[str]()
        return tuple(replace(rule, secret=rule.field in masked) for rule in found)

    @property
    def hooks(self) -> Hooks:
        """The project's Python functions."""
        return self._hooks

    @cached_property
    def _hooks(self) -> Hooks:
        return Hooks(self.root)

    @property
    def state_dir(self) -> Path:
        """`.syncline/`, made for its owner alone where it is missing."""
        path = self.root / ".syncline"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    @property
    def log_dir(self) -> Path:
        """Where the logs of its runs are kept; made when there is one."""
        return self.root / ".syncline" / "logs"

    @property
    def store_url(self) -> str:
        """The control store's URL: SYNCLINE_STORE_URL of the environment or of `.env`, else SQLite
        in `.syncline/`. It may hold a password.
        """
        given = environment_of(self.root).get(STORE_VARIABLE)
        return given or f"sqlite:///{self.state_dir / 'store.db'}"


@dataclass(frozen=True)
class Hooks:
    """The Python functions of a project, loaded by path and from inside it only."""

    root: Path
    _modules: dict[Path, ModuleType] = field(default_factory=dict[Path, ModuleType], repr=False)

    def function(self, dotted: str) -> Callable[..., Any]:
        """The function `hooks.score`: `score` of `hooks.py`. Raises InputError where there is none
        such.
        """
        path = self._file(dotted)
        found = getattr(self._module(path, dotted), dotted.rpartition(".")[2], None)
        if not inspect.isfunction(found):
            raise InputError(f"{path} has no function {dotted.rpartition('.')[2]!r}")
        return found

    def digest(self, dotted: str) -> str:
        """Changes whenever the file that holds the function does."""
        return hashlib.sha256(self._file(dotted).read_bytes()).hexdigest()[:16]

    def _file(self, dotted: str) -> Path:
        parts = dotted.split(".")
        path = self.root.joinpath(*parts[:-1]).with_suffix(".py").resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise InputError(f"{dotted}: {path} lies outside the project")
        if not path.is_file():
            raise InputError(f"{dotted}: there is no file {path}")
        return path

    def _module(self, path: Path, dotted: str) -> ModuleType:
        if path in self._modules:
            return self._modules[path]
        spec = importlib.util.spec_from_file_location(f"syncline_project_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise InputError(f"{dotted}: {path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        wanted("pandas")
        wanted("polars")
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"{dotted}: {path} can't be loaded: {reason}") from error
        self._modules[path] = module
        return module
