"""For tests: the in-memory endpoint, and (in `servers`) real database servers."""

from __future__ import annotations

from syncline.endpoints.memory import MemoryEndpoint

__all__ = ["MemoryEndpoint"]
