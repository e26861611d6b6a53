"""Mappings: from a YAML file to a bound, compiled SELECT that turns source records into target
records.
"""
