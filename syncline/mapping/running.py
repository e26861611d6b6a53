"""Running: how a mapping is watched, apart from what it does: its checks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from syncline.mapping.forms import OrText, Strict


class Check(Strict):
    """A check that every run makes, and that can be made alone."""

    blocking: bool = Field(
        False, description="The run fails with the check, and what comes after it does not begin."
    )


class Count(Check):
    """A check that counts."""

    limit: int = Field(0, ge=0, description="So many are still right.")


class Scan(Check):
    """A check that reads both sides whole, made when asked for, or by every run."""

    every_run: bool = Field(
        False, description="Every run makes this check; `blocking` says so too."
    )

    @property
    def inline(self) -> bool:
        """Whether every run makes it."""
        return self.every_run or self.blocking


class Parity(Scan):
    """How far the two sides may differ."""

    limit: int = Field(0, ge=0, description="So many differences are still right.")


def _limit(value: Any) -> Any:
    """The long form of a bare number."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return {"limit": value} if plain else value


_Number = BeforeValidator(_limit)
_OR_NUMBER = OrText(type="integer", minimum=0)


class Checks(Strict):
    """What is checked of a mapping, and what of it stops the mappings that come after."""

    parity: Annotated[Parity, _Number, _OR_NUMBER] = Field(
        default_factory=lambda: Parity.model_validate({}),
        description="Both sides are equal, as `syncline verify` finds; limit: differences.",
    )
    duplicates: Scan = Field(
        default_factory=lambda: Scan.model_validate({}),
        description="No two records of a side have the same key, and none has no key.",
    )
    conflicts: Annotated[Count, _Number, _OR_NUMBER] = Field(
        default_factory=lambda: Count.model_validate({}),
        description="Conflicts that wait for a person.",
    )
    dead_letters: Annotated[Count, _Number, _OR_NUMBER] = Field(
        default_factory=lambda: Count.model_validate({}),
        description="Records that could not be mapped or written.",
    )
    freshness: Check = Field(
        default_factory=lambda: Check.model_validate({}),
        description="The last sync is no older than `max_lag`.",
    )
    drift: Check = Field(
        default_factory=lambda: Check.model_validate({}),
        description="No column that is read or written changed since the last run.",
    )
