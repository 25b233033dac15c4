"""`python -m domains.medical.pretrain`."""

from core.training.cli import main

if __name__ == "__main__":
    raise SystemExit(main("medical", "pretrain"))
