"""mamlkit's speed beside that of its peers: `make bench`, or `python -m benchmarks --help`."""
