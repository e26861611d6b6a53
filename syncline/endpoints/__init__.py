"""Endpoints: one module a database family, all passing the contract suite in `tests/endpoints`."""
