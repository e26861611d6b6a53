# A syncline project

- `connections.yaml` names the databases; their URLs are in `.env` (copy `.env.example`).
- `mappings/` has one file a mapping: a source, a target, the key, the fields, the rules.
- `resolvers/` has conflict strategies of your own, one file each; `hooks.py` has Python fields.
- `.syncline/` has what syncline keeps for itself: runs, waiting conflicts, dead letters.

```sh
syncline map source.TABLE target.TABLE   # look at both databases, and write a mapping
syncline check                           # every problem of every mapping at once
syncline plan                            # what a run would do; writes nothing
syncline run --all                       # do it
syncline conflicts list                  # what waits for you
```
