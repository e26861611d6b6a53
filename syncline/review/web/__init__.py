"""The review app and its HTTP API: the only place that imports FastAPI and Jinja2 (extra `ui`)."""
