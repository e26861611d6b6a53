"""Render: the templates, and how values, times and numbers look on a page.

Everything is escaped by Jinja's autoescape; the only markup made here is built by `Markup.format`,
which escapes what it is given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from syncline import __version__
from syncline.cli.show import plain
from syncline.conflict import MISSING

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
_LONG: Final = 4_000
"""Characters of a value that a page shows at most."""
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        value=shown, cell=one_line, typed=typed, when=when, ago=ago, number=number, span=span,
        query=query, coded=coded,
    )  # fmt: skip
    made.tests["missing"] = lambda value: value is MISSING
    made.globals.update(asset=asset, version=__version__)  # pyright: ignore[reportArgumentType]
    return made


def text(template: str, **context: Any) -> str:
    """A template, filled in."""
    return _environment().get_template(template).render(context)


def page(template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A template as an answer."""
    return HTMLResponse(text(template, **context), status)


@cache
def asset(name: str) -> str:
    """The address of a static file; it changes with the file, so that browsers may keep it."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def shown(value: Any) -> Markup:
    """A value in full, with its own look for NULL, what is not known, and what is empty."""
    if special := _special(value):
        return special
    content = typed(value)
    more = len(content) - _LONG
    if more > 0:
        left = Markup('<span class="none">… {} more characters</span>').format(f"{more:,}")
        return Markup('<span class="value">{}</span>{}').format(content[:_LONG], left)
    return Markup('<span class="value">{}</span>').format(content)


def _special(value: Any) -> Markup | None:
    if value is None:
        return Markup('<span class="none">NULL</span>')
    if value is MISSING:
        return Markup('<span class="none" title="only a fingerprint is kept">not kept</span>')
    if isinstance(value, str) and not value:
        return Markup('<span class="none">empty text</span>')
    return None


def coded(told: str) -> Markup:
    """A text of ours with what stands between backticks as code."""
    parts = told.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else part
        for index, part in enumerate(parts)
    )


def one_line(value: Any, most: int = 60) -> str:
    """A value in one short line."""
    if value is None or value is MISSING:
        return "NULL" if value is None else "-"
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        content = ", ".join(f"{name}={one_line(item)}" for name, item in items)
    else:
        content = " ".join(typed(value).split())
    return content if len(content) <= most else content[: most - 1] + "…"


def typed(value: Any) -> str:  # noqa: PLR0911 - one line a type
    """A value as a person would type it into a field: what `review.queue.read_value` reads."""
    if value is None or value is MISSING:
        return "null" if value is None else ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(plain(value), ensure_ascii=False, indent=2)
    return str(value)


def when(instant: datetime | str | None) -> Markup:
    """An instant: how long ago, and in full where one points at it."""
    if instant is None or instant == "":
        return Markup('<span class="none">never</span>')
    at = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    full = at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), full, ago(at))


def ago(at: datetime) -> str:
    """How long ago an instant was."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    return "now" if abs(seconds) < 1 else f"{span(seconds)} ago" if seconds > 0 else "to come"


def span(seconds: float | None) -> str:
    """A length of time in its largest unit."""
    if seconds is None:
        return ""
    for unit, length in _UNITS:
        if abs(seconds) >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"


def number(value: float | None) -> str:
    """A number in groups of three digits."""
    return "" if value is None else f"{value:,}"


def query(given: Mapping[str, Any], **changes: Any) -> str:
    """A query string with some of its parameters changed; those that are empty are left out."""
    merged = {**given, **changes}
    pairs = {k: v for k, v in merged.items() if v is not None and v != ""}
    return f"?{urlencode(pairs, doseq=True)}" if pairs else "?"
