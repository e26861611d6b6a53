"""Merge: three-way, field by field.

Fields that one side moved merge by themselves before this is asked. A field that both moved, or
that has no baseline, takes the source's value if that is neither null nor empty, else the target's;
the fields of a `together` group do so as one.
"""

from syncline.conflict import Conflict, Keep, Resolution, Write, speaking


def resolve(conflict: Conflict) -> Resolution:
    """Write the contested fields in which the source has something to say."""
    if conflict.source is None:
        return Keep("a deletion has no value to merge")
    if conflict.target is None:
        return Write(dict(conflict.source), "the target has no value to merge")
    values = {name: conflict.source[name] for name in speaking(conflict)}
    return Write(values, "merged") if values else Keep("the source has no value to merge")
