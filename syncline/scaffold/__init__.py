"""What `syncline init DIR` writes: a project of the shape that the engine expects.

The files are in `project/`, each with `.tpl` after its name, so that no tool takes them for its
own; `dot-` stands for the dot of a hidden file.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from syncline.errors import InputError


def make(directory: Path) -> list[Path]:
    """Write a project into a directory, made where it is missing; gives the files, in order.

    Raises InputError, and writes nothing, where one of them is there already or the directory can't
    be written.
    """
    wanted = {directory / name: content for name, content in _templates()}
    there = [path for path in wanted if path.exists()]
    if there:
        message = f"{there[0]} is there already"
        raise InputError(message, hint="give another directory, or move the file away")
    try:
        for path, content in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        message = f"{error.filename or directory}: {error.strerror}"
        hint = "give a directory that you may write, on a disk that has room"
        raise InputError(message, hint=hint) from error
    return list(wanted)


def _templates() -> Iterator[tuple[Path, bytes]]:
    yield from _below(files("syncline.scaffold") / "project", Path())


def _below(place: Traversable, at: Path) -> Iterator[tuple[Path, bytes]]:
    for item in sorted(place.iterdir(), key=lambda one: one.name):
        if item.is_dir():
            yield from _below(item, at / item.name)
        elif item.name.endswith(".tpl"):
            name = item.name.removesuffix(".tpl")
            if name.startswith("dot-"):
                name = "." + name.removeprefix("dot-")
            yield at / name, item.read_bytes()
