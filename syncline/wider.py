"""Wider: which canonical type holds all that two types of one family hold."""

from __future__ import annotations

from typing import Final

from syncline.record import Type

_ORDERS: Final = (("smallint", "integer", "bigint"), ("real", "double"))
_BY_LENGTH: Final = {"text", "time", "timestamp", "timestamptz"}
"""Types of which one without precision holds what all others do."""


def join(one: Type, other: Type) -> Type | None:
    """The narrowest type of both types' family that holds every value of both; None where they are
    of two families.
    """
    for order in _ORDERS:
        if one.name in order and other.name in order:
            return one if order.index(one.name) >= order.index(other.name) else other
    if one.name != other.name:
        return None
    if one.name == "decimal":
        return _decimal(one, other)
    if one.name in _BY_LENGTH:
        lengths = (one.precision, other.precision)
        known = [length for length in lengths if length is not None]
        return Type(one.name, max(known) if len(known) == len(lengths) else None)
    return one


def covers(wide: Type, narrow: Type) -> bool:
    """Whether every value of the second type is one of the first, or none can tell."""
    return join(wide, narrow) == wide


def _decimal(one: Type, other: Type) -> Type:
    if one.precision is None or other.precision is None:
        return Type("decimal")
    scale = max(one.scale or 0, other.scale or 0)
    whole = max(each.precision - (each.scale or 0) for each in (one, other) if each.precision)
    return Type("decimal", whole + scale, scale)
