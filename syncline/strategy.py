"""Strategies by name: a file of the project's `resolvers/`, else one of the five that syncline
carries.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Final, cast

from syncline.conflict import Strategy
from syncline.errors import InputError
from syncline.postpone import wanted

_HERE: Final = Path(__file__).resolve().parent
BUILT_IN: Final = (
    _HERE / "_resolvers" if (_HERE / "_resolvers").is_dir() else _HERE.parent / "resolvers"
)
BUILT_IN_NAMES: Final = ("source", "target", "latest", "merge", "manual")
_NAME: Final = re.compile(r"[a-z_]+")


def load_strategy(name: str, resolvers: Path | None) -> Strategy:
    """The strategy of that name; `resolvers` is the project's folder of strategies, or None.

    Raises InputError where there is none, where the file has no `resolve(conflict)`, or where a
    file of the project would shadow a built-in strategy (the same file, in syncline's own checkout,
    is no shadow).
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"strategy name {name!r} is not of the form [a-z_]+")
    own = resolvers / f"{name}.py" if resolvers is not None else None
    own = own if own is not None and own.is_file() else None
    if name in BUILT_IN_NAMES:
        carried = BUILT_IN / f"{name}.py"
        if own is not None and not own.samefile(carried):
            raise InputError(
                f"{own} shadows the built-in strategy {name!r}",
                hint="rename the file, and the mapping's strategy",
            )
        return _load(carried)
    wanted("pandas")
    wanted("polars")
    if own is None:
        near = get_close_matches(name, BUILT_IN_NAMES, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        known = ", ".join(BUILT_IN_NAMES)
        raise InputError(
            f"no strategy {name!r}: {meant}built in are {known}",
            hint=f"or write resolvers/{name}.py",
        )
    return _load(own)


@cache
def _load(path: Path) -> Strategy:
    spec = importlib.util.spec_from_file_location(f"syncline_resolver_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file may raise anything
        raise InputError(f"{path} can't be loaded: {type(error).__name__}: {error}") from error
    resolve = getattr(module, "resolve", None)
    if not inspect.isfunction(resolve) or len(inspect.signature(resolve).parameters) != 1:
        raise InputError(f"{path} has no function resolve(conflict)")
    return cast(Strategy, resolve)
