"""Target wins: what was edited, or deleted, on the target stays so."""

from syncline.conflict import Conflict, Keep, Resolution


def resolve(conflict: Conflict) -> Resolution:
    """Keep the target's side."""
    return Keep("target wins")
