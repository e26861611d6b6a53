"""Read mappings from their files: static, and with every problem of every file at once."""

from __future__ import annotations

import os
import typing
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from syncline.errors import InputError, MappingErrors, Problem
from syncline.mapping.consistency import inconsistencies
from syncline.mapping.document import Document, by_line, parse_document, read_text, shown
from syncline.mapping.expression import ExpressionError, parse_expression
from syncline.mapping.forms import FORMS, TAG_PREFIX
from syncline.mapping.model import Mapping
from syncline.mapping.scalars import MappingName

SUFFIX: Final = ".yaml"
_NAME: Final[TypeAdapter[str]] = TypeAdapter(MappingName)


def load_mapping(path: Path) -> Mapping:
    """The mapping in this file, named after its stem. Raises MappingErrors with all that is wrong
    with it.
    """
    return _loaded(path, read_text(path), shown(path))


@lru_cache(maxsize=1_000)
def _loaded(path: Path, text: str, file: str) -> Mapping:
    """The mapping of that text; kept, since whoever chooses a mapping and whoever runs it ask."""
    document = parse_document(text, file)
    problems: list[Problem] = []
    try:
        _NAME.validate_python(path.stem)
    except ValidationError as error:
        problems.append(
            Problem(document.where(), "$", f"the file's name: {_reason(error.errors()[0])}")
        )
    if path.suffix != SUFFIX:
        problems.append(Problem(document.where(), "$", f"the file's name ends in {SUFFIX}"))
    return _validated(document, path.stem, path, problems)


def parse_mapping(text: str, name: str = "mapping") -> Mapping:
    """The same from text; messages call the file `NAME.yaml`."""
    return _validated(parse_document(text, name + SUFFIX), name, None, [])


def load_mappings(directory: Path) -> tuple[list[Mapping], list[Problem]]:
    """Every mapping of a directory, by name, and the problems of those that can't be loaded."""
    mappings: list[Mapping] = []
    problems: list[Problem] = []
    for path in mapping_paths(directory):
        try:
            mappings.append(load_mapping(path))
        except MappingErrors as errors:
            problems.extend(errors.problems)
        except InputError as error:
            problems.append(Problem(f"{path}:1", "$", str(error)))
    return mappings, problems


def mapping_paths(directory: Path) -> list[Path]:
    """The files of a directory that are mappings (`*.yaml`, `*.yml`), by name; hidden ones are left
    out.
    """
    if not directory.is_dir():
        return []
    with os.scandir(directory) as entries:  # which knows what is a file: a project asks often
        names = [
            entry.name
            for entry in entries
            if entry.name.endswith((SUFFIX, ".yml"))
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
    return [directory / name for name in sorted(names)]


def _validated(
    document: Document, name: str, path: Path | None, problems: list[Problem]
) -> Mapping:
    if not isinstance(document.data, dict):
        problems.append(
            document.problem((), "a mapping is written as keys and values, `source:` first")
        )
        raise MappingErrors(problems)
    mapping: Mapping | None = None
    try:
        mapping = Mapping.from_document(document, name, path)
    except ValidationError as error:
        problems.extend(_problem(document, details) for details in error.errors())
    problems.extend(_expression_problems(document))
    if mapping is not None:
        problems.extend(
            mapping.problem(where, message) for where, message in inconsistencies(mapping)
        )
    if problems or mapping is None:
        raise MappingErrors(sorted(set(problems), key=by_line))
    return mapping


def _expression_problems(document: Document) -> Iterator[Problem]:
    """What is wrong with the expressions themselves, also where the file around them is wrong."""
    for path, text in _expressions(document.data):
        try:
            parse_expression(text)
        except ExpressionError as error:
            yield document.problem(path, str(error))


def _expressions(data: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    where = data.get("where")
    if isinstance(where, str):
        yield ("where",), where
    fields = data.get("fields")
    for name, rule in cast("dict[str, Any]", fields).items() if isinstance(fields, dict) else ():
        # An empty text and a bare constant are refused by the model, with a better hint.
        if isinstance(rule, str) and rule.strip():
            yield ("fields", name), rule
        elif isinstance(rule, dict) and isinstance(
            sql := cast("dict[str, Any]", rule).get("sql"), str
        ):
            yield ("fields", name, "sql"), sql


def _problem(document: Document, details: ErrorDetails) -> Problem:
    location = details["loc"]
    path = [part for part in location if not str(part).startswith(TAG_PREFIX)]
    match details["type"]:
        case "extra_forbidden":
            message = f"unknown key `{path[-1]}`{_suggestion(location)}"
        case "missing":
            message = f"`{path[-1]}` is missing"
        case "literal_error":
            message = (
                f"{details['input']!r} is not one of {details.get('ctx', {}).get('expected', '')}"
            )
        case "dict_type" if path == ["key"]:
            message = f"write {{TARGET_FIELD: SOURCE_COLUMN}}, as {{{_one_key(details['input'])}}}"
        case "dict_type":
            message = f"write keys and values, as {{name: value}} (it is {details['input']!r})"
        case _:
            message = _reason(details)
    return document.problem(path, message)


def _one_key(given: object) -> str:
    names = cast("list[object]", given) if isinstance(given, list) else [given]
    return ", ".join(f"{name}: {name}" for name in names)


def _reason(details: ErrorDetails) -> str:
    error = details.get("ctx", {}).get("error")
    if error is not None:
        return str(error)
    message = details["msg"]
    return f"{message[:1].lower()}{message[1:]} (it is {details['input']!r})"


def _suggestion(location: tuple[int | str, ...]) -> str:
    keys = _keys_at(location[:-1])
    near = get_close_matches(str(location[-1]), keys, 1, cutoff=0.6)
    return f"; did you mean `{near[0]}`?" if near else f"; known here: {', '.join(keys)}"


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the model knows at a place of a mapping."""
    model: type[BaseModel] = Mapping
    for part in location:
        text = str(part)
        if text.startswith(TAG_PREFIX):
            model = FORMS[text.removeprefix(TAG_PREFIX)]
        elif text in model.model_fields:
            model = next(_models_in(model.model_fields[text].annotation), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
