"""Load: every mapping of a project that is right, and what is wrong with each of the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from pathlib import Path

from syncline.dagster.broken import Broken
from syncline.errors import MappingErrors, SynclineError
from syncline.mapping.model import Mapping
from syncline.project import Project


def load(project: Project) -> tuple[list[Mapping], list[Broken]]:
    """The mappings of the project by name. Whatever one file holds, the others are loaded."""
    found: dict[str, Mapping] = {}
    wrong: dict[Path, tuple[str, ...]] = {}
    for path, mapping in project.each_mapping():
        if isinstance(mapping, Exception):
            wrong[path] = problems_of(mapping)
        else:
            found[path.stem] = mapping
    for name, way in circles(found).items():
        mapping = found.pop(name)
        problem = mapping.problem(("after",), f"it waits for itself: {' after '.join(way)}")
        wrong[mapping.path or Path(name)] = (str(problem),)
    return list(found.values()), list(_named(wrong, set(found)))


def problems_of(error: Exception) -> tuple[str, ...]:
    """All that an error says is wrong, one line each."""
    if isinstance(error, MappingErrors):
        return tuple(map(str, error.problems))
    if isinstance(error, SynclineError):
        return (f"{error}; {error.hint}" if error.hint else str(error),)
    return (f"{type(error).__name__}: {error}",)


def asset_name(stem: str) -> str:
    """The name of the asset for a file's stem, which in a broken mapping may be anything."""
    return re.sub(r"[^A-Za-z0-9_]", "_", stem) or "_"


def _named(wrong: MappingOf[Path, tuple[str, ...]], taken: set[str]) -> Iterator[Broken]:
    for path, problems in wrong.items():
        name = asset_name(path.stem)
        while name in taken:
            name += "_"
        taken.add(name)
        yield Broken(name, path, problems)


def circles(mappings: MappingOf[str, Mapping]) -> dict[str, list[str]]:
    """The mappings that wait for themselves by `after:`, each with the way round."""
    return {name: way for name in mappings if (way := _way_back(name, mappings))}


def _way_back(start: str, mappings: MappingOf[str, Mapping]) -> list[str]:
    ways: list[list[str]] = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for name in mappings[way[-1]].after:
            if name == start:
                return [*way, name]
            if name in mappings and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []
