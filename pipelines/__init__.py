"""This project's Dagster code location. It is yours to edit."""
