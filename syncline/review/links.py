"""Links: where the review app shows something, for whoever is told of it elsewhere.

The address of the app is `SYNCLINE_REVIEW_URL`; a conflict keeps its number, so its link is good
for ever.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import quote, urlsplit

REVIEW_VARIABLE: Final = "SYNCLINE_REVIEW_URL"


def conflict_link(number: int) -> str | None:
    """Where one conflict is shown; None where nobody says where the app is."""
    return _at(f"/conflicts/{number}")


def conflicts_link(mapping: str) -> str | None:
    """Where a mapping's conflicts are listed; None where nobody says where the app is."""
    return _at(f"/conflicts?mapping={quote(mapping)}")


def _at(path: str) -> str | None:
    base = os.environ.get(REVIEW_VARIABLE, "").strip().rstrip("/")
    # Pages make links of it: nothing but an address of the web is one.
    return base + path if urlsplit(base).scheme in {"http", "https"} else None
