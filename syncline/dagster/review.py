"""Review: where the review app is, for the links that lead there."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import quote

import dagster as dg

REVIEW_VARIABLE: Final = "SYNCLINE_REVIEW_URL"


def review_link(mapping: str) -> dg.MetadataValue | None:
    """A link to the mapping's conflicts in the review app; None where nobody says where that is."""
    base = os.environ.get(REVIEW_VARIABLE, "").rstrip("/")
    return dg.MetadataValue.url(f"{base}/conflicts?mapping={quote(mapping)}") if base else None
