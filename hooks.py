"""Python functions that this project's mappings use: each gets a DataFrame and gives a Series."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def size_class(planes: pd.DataFrame) -> pd.Series[str]:
    """The size of an aeroplane by its seats: small, regional, narrow-body or wide-body."""
    import pandas as pd

    limits = [0, 20, 100, 240, 1000]
    names = ["small", "regional", "narrow-body", "wide-body"]
    return pd.cut(planes["seats"], limits, labels=names).astype("string")
