"""How fast, how large and how exact: ours beside its peers, in one run, on the same prompts. `make bench` runs it."""
