"""Webhooks, as Standard Webhooks 1.0 says: those that start runs, and those that tell of alerts."""
