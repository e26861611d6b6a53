"""Demo: 336,776 real flights in real databases, synced, edited on both sides, in step again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from syncline import log
from syncline.errors import InputError

if TYPE_CHECKING:
    from syncline.project import Project

__all__ = ["main"]


def main(*, clean: bool = False, project: Path | None = None, picture: Path | None = None) -> int:
    """Tell the demo in the project of this checkout, or in `project`, a copy of it; give 0.

    It starts anew each time: the servers are kept, their databases made again. With `clean` it
    removes all that it made instead. `picture` is where to save what was shown, as SVG. Raises
    InputError where the project is not the demo's, Unavailable where there is no PostgreSQL, and
    what a run raises.
    """
    from syncline.demo import databases
    from syncline.demo.show import Screen
    from syncline.demo.story import DATA, SETTLE, Story

    found = _project(project, {*DATA, *SETTLE})
    if clean:
        told = databases.clean(found, frozenset({*DATA, *SETTLE}))
        print("\n".join(told) or "nothing to remove")  # noqa: T201 - the command's answer
        return 0
    if not structlog.is_configured():
        log.configure(level="warning")
    screen = Screen(picture=picture is not None)
    Story(found, screen).tell()
    if picture is not None:
        screen.save(picture)
    return 0


def _project(given: Path | None, mappings: set[str]) -> Project:
    """The demo's own project. Never one found by walking up: that could be the user's own."""
    from syncline.project import Project

    root = given.expanduser().resolve() if given else Path(__file__).resolve().parents[2]
    missing = mappings - {path.stem for path in (root / "mappings").glob("*.yaml")}
    if missing or not (root / "connections.yaml").is_file():
        raise InputError(
            f"{root} is not the demo's project: it lacks {', '.join(sorted(missing)[:3])}",
            hint="the demo needs syncline's own checkout: make demo",
        )
    return Project(root)
