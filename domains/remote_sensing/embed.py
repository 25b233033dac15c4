"""`python -m domains.remote_sensing.embed`."""

from core.training.cli import main

if __name__ == "__main__":
    raise SystemExit(main("remote_sensing", "embed"))
