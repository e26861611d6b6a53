"""The review of conflicts: the queue's logic, and the app that shows it."""
