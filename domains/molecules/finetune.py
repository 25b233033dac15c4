"""`python -m domains.molecules.finetune`."""

from core.training.cli import main

if __name__ == "__main__":
    raise SystemExit(main("molecules", "finetune"))
