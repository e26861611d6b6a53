"""Differences within a value: which words, characters or paths of two sides are not alike.

Words first, by the longest matching blocks (Ratcliff and Obershelp 1988, as `difflib` has it); a
word that became a similar word is compared by its characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final, cast

from syncline.conflict import MISSING

_TOKEN: Final = re.compile(r"\w+|\s+|[^\w\s]")
_MOST_TOKENS: Final = 2_000
"""Past so many the middle of a text is marked as one: comparing is quadratic."""
_SIMILAR: Final = 0.5


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text, and whether the other side lacks it."""

    text: str
    changed: bool


Pieces = tuple[Piece, ...]


def pieces(source: str, target: str) -> tuple[Pieces, Pieces]:
    """Both texts in pieces; put together they are the texts again."""
    return _compared(_TOKEN.findall(source), _TOKEN.findall(target), refine=True)


def _compared(source: list[str], target: list[str], *, refine: bool) -> tuple[Pieces, Pieces]:
    if len(source) + len(target) > _MOST_TOKENS:
        return _ends(source, target)
    found: tuple[list[Piece], list[Piece]] = ([], [])
    matcher = SequenceMatcher(None, source, target, autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        left, right = source[i:j], target[k:m]
        if tag == "replace" and refine and len(left) == len(right) == 1:
            _by_characters(left[0], right[0], found)
            continue
        for side, tokens in zip(found, (left, right), strict=True):
            if tokens:
                side.append(Piece("".join(tokens), tag != "equal"))
    return _joined(found[0]), _joined(found[1])


def _by_characters(source: str, target: str, found: tuple[list[Piece], list[Piece]]) -> None:
    if SequenceMatcher(None, source, target, autojunk=False).ratio() < _SIMILAR:
        found[0].append(Piece(source, True))
        found[1].append(Piece(target, True))
        return
    for side, part in zip(found, _compared(list(source), list(target), refine=False), strict=True):
        side.extend(part)


def _ends(source: list[str], target: list[str]) -> tuple[Pieces, Pieces]:
    """What two long texts begin and end with alike; all between is marked."""
    most = min(len(source), len(target))
    head = next((i for i in range(most) if source[i] != target[i]), most)
    rest = most - head
    tail = next((i for i in range(rest) if source[-1 - i] != target[-1 - i]), rest)
    return _split(source, head, tail), _split(target, head, tail)


def _split(tokens: list[str], head: int, tail: int) -> Pieces:
    end = len(tokens) - tail
    parts = ((tokens[:head], False), (tokens[head:end], True), (tokens[end:], False))
    return tuple(Piece("".join(some), changed) for some, changed in parts if some)


def _joined(found: list[Piece]) -> Pieces:
    """Neighbours of one kind as one piece."""
    joined: list[Piece] = []
    for piece in found:
        if joined and joined[-1].changed == piece.changed:
            joined[-1] = Piece(joined[-1].text + piece.text, piece.changed)
        else:
            joined.append(piece)
    return tuple(joined)


def document(value: Any) -> Any:
    """The value as a document (a dict or list), or MISSING where it is none.

    Documents also travel as JSON text, and a database without a type for them keeps them so.
    """
    if isinstance(value, Mapping | list):
        return cast("Any", value)
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return MISSING
    try:
        found: Any = json.loads(value)
    except (ValueError, RecursionError):
        return MISSING
    return cast("Any", found) if isinstance(found, dict | list) else MISSING


def leaves(value: Any) -> dict[str, Any]:
    """What a document holds, by path: `address.city`, `tags[0]`; an empty part is a leaf."""
    return dict(_leaves(value, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, item in cast("Mapping[str, Any]", value).items():
            yield from _leaves(item, f"{path}.{_step(name)}" if path else _step(name))
    elif isinstance(value, list) and value:
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _step(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else json.dumps(name, ensure_ascii=False)
