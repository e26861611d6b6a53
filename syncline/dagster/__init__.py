"""syncline in Dagster: mappings as assets. Nothing else imports dagster (extra `[dagster]`)."""

from syncline.dagster.config import Allow, SyncConfig, SyncMode
from syncline.dagster.definitions import build_definitions
from syncline.dagster.pools import register_pools

__all__ = ["Allow", "SyncConfig", "SyncMode", "build_definitions", "register_pools"]
