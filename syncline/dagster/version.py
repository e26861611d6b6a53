"""Version: what of a mapping decides about the values of its target, as one short text."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Final

from syncline.errors import InputError
from syncline.mapping.forms import PythonForm
from syncline.mapping.model import Mapping
from syncline.project import Project

MEANS: Final = {"source", "target", "key", "where", "fields", "lookups", "deletes", "conflicts"}
"""The parts of a mapping that decide what is written; the others say when, and for whom."""


def code_version(project: Project, mapping: Mapping) -> str:
    """Changes when the mapping means something else, or a file of the project that it uses does."""
    content = mapping.model_dump(by_alias=True, include=set(MEANS), warnings=False)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode())
    for rule in mapping.fields.values():
        if isinstance(rule, PythonForm):
            with suppress(InputError):
                digest.update(project.hooks.digest(rule.python).encode())
    for strategy in mapping.conflicts.strategies:
        own = project.resolvers_dir / f"{strategy}.py"
        if own.is_file():
            digest.update(own.read_bytes())
    return digest.hexdigest()[:12]
