"""For tests: the in-memory endpoint, and (in `servers`) real database servers."""

from __future__ import annotations

from syncline.endpoints.memory import MemoryEndpoint, name_it

__all__ = ["MemoryEndpoint", "name_it"]
