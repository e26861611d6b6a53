"""Python fields of this project's mappings: `{python: hooks.initials}`.

A hook gets a batch of records as a pandas DataFrame with Arrow types (an integer with nulls stays an
integer), and gives a Series as long as the frame. It needs: pip install 'syncline[pandas]'
"""


def initials(records):
    """The first letters of two names, as in "A. L."."""
    first = records["first_name"].str[:1]
    last = records["last_name"].str[:1]
    return first + ". " + last + "."
