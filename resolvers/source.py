"""Source wins: the contested fields, the whole record, or its deletion are taken from the
source.
"""

from syncline.conflict import Conflict, Resolution, take_source


def resolve(conflict: Conflict) -> Resolution:
    """Write the source's side."""
    return take_source(conflict)
