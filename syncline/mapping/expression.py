"""One SQL expression of a mapping: parsed by DuckDB's own parser, checked, written for a source.

An expression sees the columns of one source record and nothing else. What may stand in it is an
allow list: kinds of nodes here, functions in `functions`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, Final, Literal, cast

import duckdb

from syncline.mapping.duck import open_duckdb, rows
from syncline.mapping.functions import Functions, Macro, functions_of, word_refusal

Name = tuple[str, ...]
"""A column as an expression spells it: the parts between its dots."""
Node = dict[str, Any]
Operator = Literal["=", "<>", "<", "<=", ">", ">="]
RECORD: Final = "s"
"""What rendered expressions call the source record."""

_LONE_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

_NODES: Final = frozenset(
    {
        *("BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION"),
        *("CONSTANT", "FUNCTION", "LAMBDA", "OPERATOR", "TYPE"),
    }
)
_OPERATORS: Final = frozenset(
    {
        *("ARRAY_CONSTRUCTOR", "ARRAY_EXTRACT", "ARRAY_SLICE", "COMPARE_IN", "COMPARE_NOT_IN"),
        *("OPERATOR_COALESCE", "OPERATOR_IS_NOT_NULL", "OPERATOR_IS_NULL", "OPERATOR_NOT"),
        *("OPERATOR_TRY", "STRUCT_EXTRACT"),
    }
)
_REFUSED_NODES: Final = {
    "SUBQUERY": "a subquery: an expression sees one record; use a lookup",
    "WINDOW": "a window function: an expression sees one record",
    "STAR": "`*`: name the columns",
    "PARAMETER": "a parameter: write the value",
    "POSITIONAL_REFERENCE": "a column by number: write its name",
    "DEFAULT": "DEFAULT: write the value",
}
_COMPARISONS: Final[dict[str, tuple[Operator, Operator]]] = {
    "COMPARE_EQUAL": ("=", "="),
    "COMPARE_NOTEQUAL": ("<>", "<>"),
    "COMPARE_LESSTHAN": ("<", ">"),
    "COMPARE_LESSTHANOREQUALTO": ("<=", ">="),
    "COMPARE_GREATERTHAN": (">", "<"),
    "COMPARE_GREATERTHANOREQUALTO": (">=", "<="),
}
_lock = threading.Lock()


class ExpressionError(ValueError):
    """An expression can't be parsed, or holds what may not stand in one. The message is one
    clause.
    """


@dataclass(frozen=True)
class Expression:
    """A checked expression. `names` are the columns it refers to, as it spells them, each once."""

    text: str
    tree: Node
    names: tuple[Name, ...]

    @property
    def bare(self) -> Name | None:
        """The column's name, where the expression is nothing but a column."""
        return tuple(self.tree["column_names"]) if self.tree["class"] == "COLUMN_REF" else None

    def render(self, columns: Mapping[Name, str]) -> str:
        """The expression as SQL, each name replaced by the column of the record that it
        stands for.
        """
        tree = deepcopy(self.tree)

        def put(node: Node) -> None:
            node["column_names"] = [RECORD, columns[tuple(node["column_names"])]]

        _references(tree, put)
        return _deserialize(tree)

    def conjuncts(self) -> Iterator[Expression]:
        """The conditions that AND joins, or the expression itself."""
        if self.tree["class"] == "CONJUNCTION" and self.tree["type"] == "CONJUNCTION_AND":
            for child in self.tree["children"]:
                yield from Expression(self.text, child, _names(child)).conjuncts()
        else:
            yield self

    def comparison(self) -> tuple[Name, Operator, int] | None:
        """`(column, operator, whole number)`, where the expression is just that comparison."""
        sides = _COMPARISONS.get(self.tree["type"]) if self.tree["class"] == "COMPARISON" else None
        if not sides:
            return None
        for column, number, operator in zip(
            ("left", "right"), ("right", "left"), sides, strict=True
        ):
            node, value = self.tree[column], _whole_number(self.tree[number])
            if node["class"] == "COLUMN_REF" and value is not None:
                return tuple(node["column_names"]), operator, value
        return None


@lru_cache(maxsize=10_000)
def parse_expression(text: str) -> Expression:
    """Parse and check one expression. Raises ExpressionError with the first thing that is wrong.

    Kept, since a run parses each several times: to check it, to bind it and to compile it.
    """
    tree = _parse(text)
    for problem in _Check(_functions()).problems(tree):
        raise ExpressionError(problem)
    return Expression(text, tree, _names(tree))


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return open_duckdb()


def _functions() -> Functions:
    with _lock:
        return functions_of(_parser())


def _quoted(text: str) -> str:
    """A lone name, quoted: `at`, `order`, `user` are words of SQL, and columns of many a table."""
    name = text.strip()
    if not _LONE_NAME.fullmatch(name) or name.lower() in {"null", "true", "false"}:
        return text
    return ".".join(f'"{part}"' for part in name.split("."))


def _parse(text: str) -> Node:
    # Brackets and new lines keep a comment or a second statement inside.
    with _lock:
        answer = rows(
            _parser(),
            "SELECT json_serialize_sql(?, skip_default := true)",
            [f"SELECT (\n{_quoted(text)}\n)"],
        )
    parsed: Node = json.loads(answer[0][0])
    if parsed["error"]:
        raise ExpressionError(f"not an expression: {_first_line(str(parsed['error_message']))}")
    statements: list[Node] = parsed["statements"]
    node: Node = statements[0]["node"] if len(statements) == 1 else {}
    trees: list[Node] = node.pop("select_list", [])
    if len(trees) != 1 or node != _frame():
        raise ExpressionError("not one expression")
    if trees[0].get("function_name") == "row" and not trees[0].get("arguments"):
        raise ExpressionError("an empty expression")
    return trees[0]


@cache
def _frame() -> Node:
    """What DuckDB says of `SELECT (1)` beside the expression: no table, no condition, no order."""
    with _lock:
        answer = rows(_parser(), "SELECT json_serialize_sql('SELECT (1)', skip_default := true)")
    node: Node = json.loads(answer[0][0])["statements"][0]["node"]
    del node["select_list"]
    return node


def _deserialize(tree: Node) -> str:
    statement = {"error": False, "statements": [{"node": {**_frame(), "select_list": [tree]}}]}
    with _lock:
        answer = rows(_parser(), "SELECT json_deserialize_sql(?)", [json.dumps(statement)])
    return str(answer[0][0]).removeprefix("SELECT ")


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0]


def _children(node: Node) -> Iterator[Node]:
    for value in node.values():
        for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield cast("Node", item)


def _is_lambda(node: Node) -> bool:
    # `a -> 'b'` on JSON parses as a lambda too; only the keyword makes one here.
    return node.get("class") == "LAMBDA" and node.get("syntax_type") == "LAMBDA_KEYWORD"


def _references(
    node: Node, visit: Callable[[Node], None], bound: frozenset[str] = frozenset()
) -> None:
    """Visit every reference to a column; the parameters of a lambda are none."""
    if _is_lambda(node):
        found: list[Node] = []
        _references(node["lhs"], found.append)
        inside = bound | {str(name).lower() for item in found for name in item["column_names"]}
        _references(node["expr"], visit, inside)
        return
    if node.get("class") == "COLUMN_REF":
        if str(node["column_names"][0]).lower() not in bound:
            visit(node)
        return
    for child in _children(node):
        _references(child, visit, bound)


def _names(tree: Node) -> tuple[Name, ...]:
    found: dict[Name, None] = {}
    _references(tree, lambda node: found.setdefault(tuple(node["column_names"])))
    return tuple(found)


def _whole_number(node: Node) -> int | None:
    if node["class"] != "CONSTANT" or node.get("literal", {}).get("kind") != "INTEGER":
        return None
    try:
        value = int(node["literal"]["text"])
    except ValueError:  # DuckDB also reads 0x1F and 1_000
        return None
    return value if -(2**63) <= value < 2**63 else None


class _Check:
    """Walks a tree and says what may not stand in it."""

    def __init__(self, functions: Functions) -> None:
        self.functions = functions

    def problems(self, node: Node) -> Iterator[str]:
        kind = node.get("class")
        if kind is not None and kind not in _NODES:
            yield _REFUSED_NODES.get(kind, f"{str(kind).lower()} is not allowed in an expression")
            return
        if kind == "OPERATOR" and node["type"] not in _OPERATORS:
            yield f"{node['type'].lower()} is not allowed in an expression"
        if kind == "FUNCTION":
            yield from self.function(node)
        if kind == "TYPE" and node.get("schema"):
            yield f"the type {node['schema']}.{node['type_name']} is not DuckDB's own"
        for child in _children(node):
            yield from self.problems(child)

    def function(self, node: Node) -> Iterator[str]:
        name = str(node["function_name"]).lower()
        if node.get("schema") or node.get("catalog"):
            path = node["qualified_name"]["path"]
            yield f"write {path[-1]}({'.'.join(path[:-1])}, ..) rather than {'.'.join(path)}(..)"
            return
        if node.get("distinct") or node.get("filter") or node.get("order_bys", {}).get("orders"):
            yield f"DISTINCT, FILTER and ORDER BY in {name}() are for many records, not for one"
            return
        refusal = self.functions.refusal(name, len(node.get("arguments", [])))
        if refusal:
            yield refusal + self.suggestion(name, refusal)
        elif name not in self.functions.scalar:
            yield from self.macros(name)

    def suggestion(self, name: str, refusal: str) -> str:
        if not refusal.startswith("there is no"):
            return ""
        near = get_close_matches(name, [*self.functions.scalar, *self.functions.macros], 1)
        return f"; did you mean {near[0]}()?" if near else ""

    def macros(self, name: str) -> Iterator[str]:
        """A macro is refused where what it stands for is."""
        for macro in self.functions.macros[name]:
            for problem in _macro_problems(macro):
                yield f"{name}() is refused: {problem}"
                return


@cache
def _macro_problems(macro: Macro) -> tuple[str, ...]:
    try:
        tree = _parse(macro.definition)
    except ExpressionError as error:
        return (str(error),)
    own = {parameter.lower() for parameter in macro.parameters}
    free = [name[0] for name in _names(tree) if name[0].lower() not in own]
    return (*_Check(_functions()).problems(tree), *(f"it reads {name}" for name in free))


def word_problem(name: Name) -> str | None:
    """Why this name, which is no column, may not stand for what SQL takes it for; None for any
    other.
    """
    return word_refusal(name[0]) if len(name) == 1 else None
