"""Databases: the demo's servers, the databases made anew there, the `.env` that points to them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from syncline import catalogue
from syncline.errors import InputError
from syncline.testing.servers import Server, Unavailable, start_detached, stop

if TYPE_CHECKING:
    from syncline.project import Project

VARIABLES: Final = ("DEMO_OPS_URL", "DEMO_WAREHOUSE_URL", "DEMO_DOCUMENTS_URL")
STORE: Final = "store.db"
_BEGIN: Final = "# >>> written by `syncline demo`, taken back by `syncline demo --clean`"
_END: Final = "# <<< syncline demo"
_BLOCK: Final = re.compile(
    rf"^{re.escape(_BEGIN)}\n.*?^{re.escape(_END)}\n", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Databases:
    """The demo's databases; their URLs may do anything there."""

    ops: str = field(repr=False)
    warehouse: str = field(repr=False)
    documents: str = field(repr=False)
    servers: tuple[Server, ...]
    no_mongo: str = ""
    """Why there is no MongoDB, where SQLite stands in for it."""


def servers_dir(project: Project) -> Path:
    """Where the demo's servers keep their data."""
    return project.state_dir / "demo"


def start(project: Project) -> Databases:
    """Start the servers, where they do not run yet, and make the databases anew, empty.

    Raises Unavailable where there is no PostgreSQL, InputError where the environment overrides the
    demo's URLs.
    """
    if taken := [name for name in VARIABLES if os.environ.get(name)]:
        raise InputError(
            f"the environment sets {', '.join(taken)}, which the demo writes to .env",
            hint=f"unset {' '.join(taken)}",
        )
    root = servers_dir(project)
    postgres = start_detached("postgres", root)
    ops, warehouse = (postgres.fresh_database(f"demo_{name}") for name in ("ops", "warehouse"))
    try:
        mongo = start_detached("mongo", root)
        documents = mongo.fresh_database("demo")
        return Databases(ops, warehouse, documents, (postgres, mongo))
    except Unavailable as refusal:
        file = root / "documents.sqlite"
        file.unlink(missing_ok=True)
        documents = f"sqlite:///{file}"
        return Databases(ops, warehouse, documents, (postgres,), no_mongo=str(refusal))


def write_env(root: Path, ops: str, warehouse: str, documents: str) -> None:
    """Put the URLs into the project's `.env`; what else is there stays."""
    lines = [
        f"{name}={url}" for name, url in zip(VARIABLES, (ops, warehouse, documents), strict=True)
    ]
    _replace(root / ".env", "\n".join([_BEGIN, *lines, _END, ""]))


def clean(project: Project, mappings: frozenset[str]) -> list[str]:
    """Stop the servers and remove all that the demo made; what was removed, a sentence each.

    The control store goes too, unless other mappings than the demo's have left something there.
    """
    told: list[str] = []
    root = servers_dir(project)
    if root.is_dir():
        told += [f"stopped {kind}" for kind in stop(root, remove=True)]
        (root / "documents.sqlite").unlink(missing_ok=True)
        _remove_empty(root)
        told.append("removed its databases")
    if _BEGIN in _text(project.root / ".env"):
        _replace(project.root / ".env", "")
        told.append("took its URLs out of .env")
    told += _clean_store(project, mappings)
    catalogue.forget(project, mappings)
    _remove_empty(project.state_dir)
    return told


def _clean_store(project: Project, mappings: frozenset[str]) -> list[str]:
    file = project.state_dir / STORE
    if not file.is_file():
        return []
    from syncline.store import Store

    with Store.open(f"sqlite:///{file}") as store:
        others = {run.mapping for run in store.runs(limit=1_000_000)} - mappings
    if others:
        return [f"kept the control store: {', '.join(sorted(others))} ran here too"]
    for path in project.state_dir.glob(f"{STORE}*"):
        path.unlink()
    return ["removed the control store"]


def _remove_empty(directory: Path) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def _text(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def _replace(file: Path, block: str) -> None:
    """Put `block` in the place of the demo's lines; without any other line the file goes."""
    kept = _BLOCK.sub("", _text(file))
    if kept and not kept.endswith("\n"):
        kept += "\n"
    if not kept + block:
        file.unlink(missing_ok=True)
        return
    file.touch()
    if block:
        file.chmod(0o600)  # it holds passwords now
    file.write_text(kept + block)
