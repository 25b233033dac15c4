"""`python -m domains.molecules.embed`."""

from core.training.cli import main

if __name__ == "__main__":
    raise SystemExit(main("molecules", "embed"))
