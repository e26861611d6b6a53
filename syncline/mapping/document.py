"""A YAML 1.2 file as plain values with the line of each: strict, safe, all problems reported
together.

Built from the parser's events and not from a loader's objects, so that nothing but text, numbers,
booleans, null, lists and mappings can come out of a file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from syncline.errors import InputError, MappingErrors, Problem

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 20
Path_ = tuple[str | int, ...]
_INTEGER: Final = re.compile(r"^[-+]?[0-9]+$|^0o[0-7]+$|^0x[0-9a-fA-F]+$")
_FLOAT: Final = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", "+.inf", ".Inf", ".INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NAME: Final = re.compile(r"^[A-Za-z_]\w*$")


def path_text(path: Sequence[str | int]) -> str:
    """A path in a file as messages show it: `$.fields.balance`, `$.fields["address.city"].type`."""
    parts = ["$"]
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            parts.append(f".{part}" if _NAME.match(part) else f'["{part}"]')
    return "".join(parts)


def by_line(problem: Problem) -> tuple[int, str]:
    """The order in which the problems of one file are shown."""
    return int(problem.where.rpartition(":")[2]), problem.path


def shown(path: Path) -> str:
    """The file as messages name it: relative to the working directory where it lies below it."""
    try:
        return os.fspath(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)


@dataclass(frozen=True, slots=True)
class Document:
    """A file's values (`data`), and the line (from 1) on which each path begins."""

    file: str
    data: Any
    lines: dict[Path_, int] = field(default_factory=dict[Path_, int])

    def where(self, path: Sequence[str | int] = ()) -> str:
        """`file:line` of a path, or of the nearest path around it that is in the file."""
        known = tuple(path)
        while known and known not in self.lines:
            known = known[:-1]
        return f"{self.file}:{self.lines.get(known, 1)}"

    def problem(self, path: Sequence[str | int], message: str) -> Problem:
        """A problem that stands at this path."""
        return Problem(self.where(path), path_text(path), message)


def read_document(path: Path) -> Document:
    """Read a file.

    Raises MappingErrors with all that YAML alone can tell is wrong, InputError where it can't be
    read.
    """
    return parse_document(read_text(path), shown(path))


def read_text(path: Path) -> str:
    """The text of a file. Raises MappingErrors for what is no text, InputError where it can't be
    read.
    """
    file = shown(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{file} can't be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise MappingErrors(
            [Problem(f"{file}:1", "$", f"the file has {len(raw):,} bytes; at most {MAX_BYTES:,}")]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise MappingErrors(
            [Problem(f"{file}:{line}", "$", "the file is not UTF-8 text")]
        ) from None


def parse_document(text: str, file: str) -> Document:
    """The same from text; `file` is the name that messages give it."""
    return _Reader(file).read(text)


class _Reader:
    """Builds one document from events; collects problems on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.lines: dict[Path_, int] = {}
        self.depth = 0

    def read(self, text: str) -> Document:
        data: Any = None
        documents = 0
        try:
            events = cast("Iterator[Any]", cast("Any", YAML(typ="safe", pure=True)).parse(text))
            for event in events:
                if isinstance(event, DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self.refuse(event, (), "a second document: one file holds one")
                        break
                    data = self.value(next(events), events, ())
                elif isinstance(event, StreamStartEvent | StreamEndEvent):
                    continue
        except _TooDeep:
            pass
        except YAMLError as error:
            self.problems.append(self.syntax(error))
        except RecursionError:
            self.problems.append(
                Problem(f"{self.file}:1", "$", f"nested more than {MAX_DEPTH} deep")
            )
        if self.problems:
            raise MappingErrors(self.problems)
        return Document(self.file, data, self.lines)

    def syntax(self, error: YAMLError) -> Problem:
        # ruamel's errors are not typed
        found = cast("Any", error)
        mark = getattr(found, "problem_mark", None) or getattr(found, "context_mark", None)
        text = getattr(found, "problem", None) or getattr(found, "context", None) or str(error)
        line = mark.line + 1 if mark else 1
        column = f" (column {mark.column + 1})" if mark else ""
        reason = str(text).splitlines()[0]
        if reason.startswith("mapping values are not allowed"):
            reason = "a text with `: ` in it stands in quotes"
        return Problem(f"{self.file}:{line}", "$", f"not valid YAML: {reason}{column}")

    def refuse(self, event: Any, path: Path_, message: str) -> None:
        where = f"{self.file}:{event.start_mark.line + 1}"
        self.problems.append(Problem(where, path_text(path), message))

    def value(self, event: Any, events: Iterator[Any], path: Path_) -> Any:
        self.lines.setdefault(path, event.start_mark.line + 1)
        if _is(event, AliasEvent):
            self.refuse(event, path, f"alias *{event.anchor}: write the value out")
            return None
        self.check_node(event, path)
        if _is(event, ScalarEvent):
            return self.scalar(event)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(event, path, f"nested more than {MAX_DEPTH} deep")
            raise _TooDeep
        value = (
            self.mapping(events, path)
            if isinstance(event, MappingStartEvent)
            else self.sequence(events, path)
        )
        self.depth -= 1
        return value

    def check_node(self, event: Any, path: Path_) -> None:
        if event.anchor is not None:
            self.refuse(event, path, f"anchor &{event.anchor}: anchors and aliases are not allowed")
        if event.ctag is not None:
            self.refuse(event, path, f"tag {event.tag}: tags are not allowed")

    @staticmethod
    def scalar(event: Any) -> Any:
        text = str(event.value)
        if event.style not in (None, ""):
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.match(text):
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        return float(text) if _FLOAT.match(text) else text

    def sequence(self, events: Iterator[Any], path: Path_) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            items.append(self.value(event, events, (*path, len(items))))
        return items

    def mapping(self, events: Iterator[Any], path: Path_) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            name = self.key(event, events, path)
            line = event.start_mark.line + 1
            if name in first:
                self.refuse(
                    event, (*path, name), f"`{name}` is written twice (first on line {first[name]})"
                )
            first.setdefault(name, line)
            self.lines[(*path, name)] = line
            result[name] = self.value(next(events), events, (*path, name))
        return result

    def key(self, event: Any, events: Iterator[Any], path: Path_) -> str:
        if _is(event, ScalarEvent):
            self.check_node(event, path)
            # Keys stay the text that was written: `true`, `1` and `no` are names here, not values.
            return str(event.value)
        self.refuse(event, path, "a key that is not plain text")
        if _is(event, MappingStartEvent) or _is(event, SequenceStartEvent):
            self.value(event, events, path)
        return f"?{event.start_mark.line}:{event.start_mark.column}"


def _is(event: Any, kind: type[Any]) -> bool:
    # Keeps the event untyped, as ruamel's attributes are.
    return isinstance(event, kind)


class _TooDeep(Exception):
    """Reading ends here; the problem is already noted."""
