"""Review: where the review app is, for the links that lead there."""

from __future__ import annotations

import dagster as dg

from syncline.review.links import conflicts_link


def review_link(mapping: str) -> dg.MetadataValue | None:
    """A link to the mapping's conflicts in the review app; None where nobody says where that is."""
    url = conflicts_link(mapping)
    return None if url is None else dg.MetadataValue.url(url)
