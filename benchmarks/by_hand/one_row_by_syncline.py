"""The same as `one_row.py loop N`, by runs of syncline in one process."""

from __future__ import annotations

import sys
from datetime import datetime

from changing import looped

from syncline.log import configure
from syncline.project import Project
from syncline.sync import run

configure(level="warning")
project = Project.find()


def bring(_since: datetime) -> None:
    """Run the mapping; it finds what changed by itself."""
    assert run(project, "ledgered").updated


looped("ledgered", int(sys.argv[2]), bring)
