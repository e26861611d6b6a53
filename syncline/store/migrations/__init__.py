"""The migrations of the control store, run by `syncline.store.migrate`."""
