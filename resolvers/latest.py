"""Latest wins: the side whose clock (`conflicts.clock`) is later.

Clocks are compared at the coarser precision of the two; equal clocks leave the target as it is, so
that both directions of a pair decide alike; a clock missing on either side is a question for a
person, and so are clocks nearer to each other than `conflicts.near`.
"""

from syncline.conflict import Ask, Conflict, Keep, Resolution, later, near_tie, take_source


def resolve(conflict: Conflict) -> Resolution:
    """Write the source's side if its clock is later."""
    if conflict.clock_source is None or conflict.clock_target is None:
        return Ask("a clock is missing")
    if near_tie(conflict):
        return Ask("the clocks are too near each other to tell who was later")
    if later(conflict.clock_source, conflict.clock_target, conflict.clock_digits):
        return take_source(conflict)
    return Keep("the target is as late or later")
