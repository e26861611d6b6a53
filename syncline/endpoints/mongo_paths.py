"""Columns of a document are dotted paths; this reads, projects and builds along them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import pyarrow as pa

from syncline.endpoints.fit import shown
from syncline.endpoints.mongo_connection import Document
from syncline.endpoints.mongo_values import decode_column
from syncline.errors import InputError
from syncline.record import Misfit, Type


class _Absent:
    """A value that no document holds."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


MISSING: Final = _Absent("missing")
"""What a path leads to where a document has no such field."""
ASTRAY: Final = _Absent("astray")
"""What a path leads to that runs through an array, or through another value that has no fields."""


def reader(path: str) -> Callable[[Mapping[str, Any]], Any]:
    """Give the function that follows a path into a document: a value, MISSING or ASTRAY.

    A null on the way is as good as nothing: the path is MISSING.
    """
    if "." not in path:
        return lambda document: document.get(path, MISSING)
    *parents, last = path.split(".")

    def read(document: Mapping[str, Any]) -> object:
        inner: object = document
        for name in parents:
            inner = cast("Mapping[str, object]", inner).get(name)
            if not isinstance(inner, dict):
                return MISSING if inner is None else ASTRAY
        return cast("Mapping[str, object]", inner).get(last, MISSING)

    return read


def put(document: Document, path: str, value: object) -> None:
    """Set the value at a path, making the documents on the way."""
    *parents, last = path.split(".")
    for name in parents:
        inner = document.get(name)
        if not isinstance(inner, dict):
            document[name] = inner = {}
        document = cast("Document", inner)
    document[last] = value


def remove(document: Document, path: str) -> None:
    """Take away what is at a path, if the path leads anywhere."""
    *parents, last = path.split(".")
    for name in parents:
        inner = document.get(name)
        if not isinstance(inner, dict):
            return
        document = cast("Document", inner)
    document.pop(last, None)


def check_paths(paths: Iterable[str]) -> None:
    """Refuse paths that MongoDB can't store, and those of which one lies within another."""
    known = set(paths)
    for path in sorted(known):
        names = path.split(".")
        if not all(names) or any(name.startswith("$") or "\0" in name for name in names):
            raise InputError(f"{path!r} is no path of a document")
        outer = next((o for n in range(1, len(names)) if (o := ".".join(names[:n])) in known), None)
        if outer:
            raise InputError(
                f"the fields {outer} and {path} overlap: one document lies in the other"
            )


def projection(paths: Iterable[str]) -> dict[str, int]:
    """Give the projection that has these paths and `_id`; of paths within paths the outer one."""
    wanted = {"_id" if path.startswith("_id.") else path for path in paths} | {"_id"}
    outer = {
        path
        for path in wanted
        if not any(path.startswith(f"{other}.") for other in wanted if other != path)
    }
    return dict.fromkeys(sorted(outer), 1)


def source_columns(
    documents: Sequence[Mapping[str, Any]], columns: Mapping[str, Type]
) -> tuple[dict[str, pa.Array[Any]], list[Misfit]]:
    """Give the columns of source documents; missing and null are both NULL."""
    return _columns(documents, columns, {id(ASTRAY): _ASTRAY})


def target_columns(
    documents: Sequence[Mapping[str, Any]], columns: Mapping[str, Type], *, store_nulls: bool
) -> tuple[dict[str, pa.Array[Any]], list[Misfit]]:
    """Give the columns of target documents; NULL is as the mapping stores it, else a misfit."""
    other = {id(MISSING): _NOT_STORED} if store_nulls else {id(None): _STORED}
    return _columns(documents, columns, {id(ASTRAY): _ASTRAY, **other})


_ASTRAY: Final = "lies behind an array or a value that has no fields"
_STORED: Final = "is null, and this mapping leaves NULL out"
_NOT_STORED: Final = "is missing, and this mapping stores NULL as null"


def _columns(
    documents: Sequence[Mapping[str, Any]], columns: Mapping[str, Type], wrong: Mapping[int, str]
) -> tuple[dict[str, pa.Array[Any]], list[Misfit]]:
    arrays: dict[str, pa.Array[Any]] = {}
    misfits: list[Misfit] = []
    for name, type_ in columns.items():
        values = list(map(reader(name), documents))
        for row, value in enumerate(values):
            if value is None or value is MISSING or value is ASTRAY:
                values[row] = None
                if id(value) in wrong:
                    misfits.append(Misfit(row, name, wrong[id(value)], shown(value)))
        arrays[name], unfit = decode_column(name, values, type_)
        misfits += unfit
    return arrays, misfits
