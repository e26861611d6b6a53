"""Answers on stdout: tables for people, one JSON object a line for scripts."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console


def line(answer: Mapping[str, Any]) -> None:
    """Print an object as one line of JSON."""
    typer.echo(json.dumps(plain(answer), ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """A value as JSON knows it: instants in ISO 8601, decimals as text, bytes in base64."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in cast("set[Any]", value))
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast("list[Any]", value)]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return str(value)


def cell(value: Any) -> str:
    """A value as a person reads it in a table: numbers in groups, NULL unlike the empty text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return raw(value)


def raw(value: Any) -> str:
    """As `cell`, with numbers as they are: for keys and values of records."""
    from syncline.conflict import MISSING

    if value is None or value is MISSING:
        return "NULL" if value is None else "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(" ", "microseconds" if value.microsecond else "seconds")
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return ", ".join(f"{name}={raw(item)}" for name, item in items)
    return str(value)


def when(at: datetime | str | None) -> str:
    """An instant of ours in a table: UTC, to the second, so that a line stays a line."""
    if not at:
        return ""
    instant = datetime.fromisoformat(at) if isinstance(at, str) else at
    instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    return f"{instant:%Y-%m-%d %H:%M:%S}Z"


def console() -> Console:
    """A console on stdout; as wide as it needs where it is not a terminal."""
    from rich.console import Console

    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=200, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Print a table; columns that hold only numbers go to the right."""
    from rich.table import Table
    from rich.text import Text

    content = [list(row) for row in rows]
    shown = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for index, name in enumerate(columns):
        numbers = bool(content) and all(_is_number(row[index]) for row in content)
        shown.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in content:
        # Text: values are no markup
        shown.add_row(*(v if isinstance(v, Text) else Text(cell(v)) for v in row))
    console().print(shown)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def facts(pairs: Mapping[str, Any]) -> None:
    """Print names and values, one a line; what is None or empty is left out."""
    wide = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        if value is not None and value != "":
            typer.echo(f"{name:<{wide}}  {raw(value)}")
