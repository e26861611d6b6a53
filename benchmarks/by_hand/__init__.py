"""The scripts that a user would write by hand: each is run as a process of its own, by its path."""
