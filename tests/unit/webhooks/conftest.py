"""A control store for each test: made once and copied, since migrations take their time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from syncline.store import Store


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Puts an empty control store into the project at a directory; gives its URL."""
    pattern = tmp_path_factory.mktemp("store") / "store.db"
    Store.open(f"sqlite:///{pattern}").close()

    def make(root: Path) -> str:
        (root / ".syncline").mkdir()
        path = shutil.copy(pattern, root / ".syncline" / "store.db")
        return f"sqlite:///{path}"

    return make
