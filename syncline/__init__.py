"""Syncline keeps records in step between databases: full and delta syncs, mappings, conflicts,
checkpoints.
"""

__version__ = "0.1.0"
