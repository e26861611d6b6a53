"""Benchmarks: syncline beside the physical limit and what a user would write by hand.

`make bench` runs `python -m benchmarks`. No part of the product and of no test.
"""
