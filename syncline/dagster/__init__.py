"""syncline in Dagster: mappings as assets. Nothing else imports dagster (extra `[dagster]`)."""

from syncline.dagster.component import SyncMapping
from syncline.dagster.config import Allow, SyncConfig, SyncMode
from syncline.dagster.definitions import Parts, build_definitions, parts_of
from syncline.dagster.pools import register_pools

__all__ = [
    "Allow",
    "Parts",
    "SyncConfig",
    "SyncMapping",
    "SyncMode",
    "build_definitions",
    "parts_of",
    "register_pools",
]
