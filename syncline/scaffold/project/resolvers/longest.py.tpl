"""Longest: of two texts that were both edited, the longer one wins.

A strategy of your own: a mapping takes it by `conflicts: {strategy: longest}`, or for one field by
`conflicts: {fields: {notes: longest}}`. It is a pure function, without clock or database, and answers
exactly one of: write these values, keep the target, ask a person.
"""

from syncline.conflict import Ask, Conflict, Keep, Resolution, Write


def resolve(conflict: Conflict) -> Resolution:
    """Write the contested fields in which the source has the longer text."""
    source, target = conflict.source, conflict.target
    if source is None or target is None:
        return Ask("one of the two sides is gone")
    longer = {
        name: source[name]
        for name in conflict.contested
        if len(str(source[name] or "")) > len(str(target[name] or ""))
    }
    return Write(longer, "the longer text") if longer else Keep("the target's text is longer")
