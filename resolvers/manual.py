"""Manual: every conflict waits in the queue for a person, and the target stays as it is until
then.
"""

from syncline.conflict import Ask, Conflict, Resolution


def resolve(conflict: Conflict) -> Resolution:
    """Ask."""
    return Ask("the strategy is manual")
