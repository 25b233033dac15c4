"""`python -m domains`: domains, verbs and systems, read from the configs."""

from core.config.schema import VERBS
from core.training.cli import CONFIGS, domain_info, guarded, systems


def listing() -> None:
    """Print every domain with its verbs, their systems, and its own commands."""
    for path in sorted(CONFIGS.glob("*/domain.yaml")):
        domain = path.parent.name
        about = domain_info(domain)
        print(f"{domain}: {about['summary']}\n  sample data: {about['samples']}")
        for verb in VERBS:
            print(f"  python -m domains.{domain}.{verb}")
            default = about["default"].get(verb)
            for name, text in systems(domain, verb).items():
                print(f"    {'--config ' + name:<26} {'(default) ' if name == default else ''}{text}")
        for command, text in about.get("commands", {}).items():
            print(f"  {f'python -m domains.{domain}.{command}':<45} {text}")
        print()


if __name__ == "__main__":
    raise SystemExit(guarded(listing))
