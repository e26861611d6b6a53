"""Golden files: text that the product must give again to the letter.

`make golden` writes them anew; what changed is then read in the diff.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

GOLDEN: Final = Path(__file__).parent
RENEW: Final = "SYNCLINE_RENEW_GOLDEN"


def assert_golden(name: str, text: str) -> None:
    """The file `name` beside this module says just `text`; or is made to."""
    path = GOLDEN / name
    if os.environ.get(RENEW):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"there is no {path}: make golden"
    assert text == path.read_text(encoding="utf-8"), f"{path} says otherwise; meant so? make golden"
