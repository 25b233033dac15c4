"""`python -m domains.remote_sensing.pretrain`."""

from core.training.cli import main

if __name__ == "__main__":
    raise SystemExit(main("remote_sensing", "pretrain"))
