"""PostgreSQL types: their canonical types, how they are read, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from syncline.errors import InputError
from syncline.record import Type

_CANONICAL: Final = {
    "bool": "bool",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "oid": "bigint",
    "float4": "real",
    "float8": "double",
    "text": "text",
    "name": "text",
    "char": "text",
    "varchar": "text",
    "bpchar": "text",
    "interval": "text",
    "bytea": "bytes",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "uuid": "uuid",
    "json": "json",
    "jsonb": "json",
}
# Read as they are: ADBC has their exact Arrow type. Everything else is selected as text.
_READ_PLAIN: Final = frozenset(
    [
        "bool",
        "int2",
        "int4",
        "int8",
        "float4",
        "float8",
        "text",
        "varchar",
        "bytea",
        "date",
        "time",
        "timestamp",
        "timestamptz",
    ]
)
# Appended as they are: the binary form that ADBC writes for the canonical Arrow type is the type's
# own.
_WRITE_PLAIN: Final = _READ_PLAIN | {"bpchar", "json", "uuid", "jsonb"}
_MONEY: Final = Type("decimal", 19, 2)
_SCALES: Final = 1 << 11

Wire = Literal["plain", "text", "numeric", "array"]
"""How a column crosses: in its own Arrow type, as text, as digits, an array as JSON text."""


@dataclass(frozen=True, slots=True)
class Native:
    """The type of a column, as the catalogue tells it."""

    declared: str
    """As declared, with its modifier: `numeric(14,2)`, `mood`, or a domain's name."""
    base: str
    """The name of the type below any domain; empty where it is not PostgreSQL's own."""
    cast: str
    """The type below any domain, without modifier: a cast to it never cuts a value."""
    modifier: int
    kind: str
    """`b` base, `e` enum, `c` composite, `r` range, `m` multirange."""
    is_array: bool
    is_domain: bool = False

    @property
    def wire(self) -> Wire:
        """How values are selected."""
        if self.is_array:
            return "array"
        if self.base in {"numeric", "money"}:
            return "numeric"
        return "plain" if self.base in _READ_PLAIN else "text"

    @property
    def is_no_key(self) -> bool:
        """Whether no array of such values can be asked for: arrays have no arrays, and the text of
        money is of a locale.
        """
        return self.is_array or self.base == "money"

    @property
    def is_opaque(self) -> bool:
        """Whether no canonical type but text can hold it."""
        return not (
            self.is_array
            or self.kind == "e"
            or self.base in _CANONICAL
            or self.base in {"numeric", "money"}
        )

    def canonical(self) -> Type:
        """The canonical type of its values."""
        if self.is_array:
            return Type("json")
        if self.base == "money":
            return _MONEY
        if self.base == "numeric":
            return self._decimal()
        name = _CANONICAL.get(self.base, "text")
        if self.base in {"varchar", "bpchar"} and self.modifier >= 0:
            return Type(name, self.modifier - 4)
        if (
            self.base in {"time", "timestamp", "timestamptz"}
            and 0 <= self.modifier < FINEST_SECONDS
        ):
            return Type(name, self.modifier)
        return Type(name)

    def _decimal(self) -> Type:
        if self.modifier < 0:
            return Type("decimal")
        packed = self.modifier - 4
        precision, scale = packed >> 16 & 0xFFFF, packed % _SCALES
        if scale >= _SCALES // 2:  # 11 bits, signed: numeric(5,-3) has thousands of 8 digits
            return Type("decimal", precision + _SCALES - scale, 0)
        return Type("decimal", max(precision, scale), scale)

    def select(self, column: str, wanted: Type) -> str:
        """The SQL expression that reads `column` (quoted, qualified) for `wanted`."""
        if self.wire == "array":
            # Bounds other than 1 have no place in JSON: the text form says them, and decoding
            # refuses it.
            odd = f"array_lower({column}, 1) <> 1 OR array_lower({column}, 2) <> 1"
            told = f"'bounds ' || {column}::text"
            return f"CASE WHEN {odd} THEN {told} ELSE to_jsonb({column})::text END"
        if self.base == "money":
            return f"{column}::numeric::text"
        if self.base == "inet":  # cast to text, a host would get the mask /32 that nobody wrote
            return f"nullif(concat({column}), '')"
        if self.wire != "plain" or self.reads_as_text(wanted):
            return f"{column}::text"
        return f"{column}::{self.cast}" if self.is_domain else column

    def reads_as_text(self, wanted: Type) -> bool:
        """Whether text is wanted of a type with a richer form: the database then writes it."""
        return (
            wanted.name == "text"
            and self.canonical().name not in {"text", "json"}
            and self.base != "money"
        )

    @property
    def writes_plain(self) -> bool:
        """Whether canonical values can be appended by binary COPY, to the value exact."""
        if self.is_array:
            return False
        if self.base == "numeric":
            return not self.canonical().is_unbounded_decimal
        return self.kind == "e" or self.base in _WRITE_PLAIN

    def from_text(self, text: str) -> str:
        """The SQL expression that makes a value of this type of a text, never cutting it."""
        if self.is_array:
            # The only built-in way from JSON to arrays of every depth and element type.
            document = f"jsonb_build_object('a', CAST({text} AS jsonb))"
            made = f"(SELECT r.a FROM jsonb_to_record({document}) AS r(a {self.cast}))"  # noqa: S608
            return f"CASE WHEN {text} IS NULL THEN NULL ELSE {made} END"
        if self.base == "money":
            return f"CAST(CAST({text} AS numeric) AS money)"
        return f"CAST({text} AS {self.cast})"


_DECLARED: Final = {
    "bool": "boolean",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "real": "real",
    "double": "double precision",
    "bytes": "bytea",
    "date": "date",
    "uuid": "uuid",
    "json": "jsonb",
}
FINEST_SECONDS: Final = 6
"""Fractional digits of a second that are kept."""
_LONGEST_VARCHAR: Final = 10_485_760
_MOST_DIGITS: Final = 1000


def native_type(type_: Type) -> str:
    """How PostgreSQL declares a column of a canonical type. Raises InputError where it has none."""
    if type_.name in _DECLARED:
        return _DECLARED[type_.name]
    if type_.name == "decimal":
        return _numeric(type_)
    if type_.name == "text":
        return "text" if type_.precision is None else _varchar(type_.precision)
    digits = f"({min(type_.precision, 6)})" if type_.precision is not None else ""
    zone = " with time zone" if type_.name == "timestamptz" else " without time zone"
    return ("time" if type_.name == "time" else "timestamp") + digits + zone


def _numeric(type_: Type) -> str:
    if type_.precision is None:
        return "numeric"
    if type_.precision > _MOST_DIGITS:
        raise InputError(
            f"postgresql has no {type_}: numeric holds {_MOST_DIGITS} declared digits",
            hint="declare `decimal`",
        )
    return f"numeric({type_.precision},{type_.scale or 0})"


def _varchar(length: int) -> str:
    # varchar(n) ends at 10,485,760, text at 1 GB.
    return f"character varying({length})" if length <= _LONGEST_VARCHAR else "text"
