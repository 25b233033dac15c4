"""Suites that compare systems, and the suite with its peers. Run `python -m benchmarks`."""
