"""Registration across sensors: a matcher, its training pairs and losses, robust fits, figures. Light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domains.remote_sensing.registration.checkpoint import load_matcher as load_matcher
    from domains.remote_sensing.registration.figures import RegistrationError as RegistrationError
    from domains.remote_sensing.registration.fit import fit_transform as fit_transform
    from domains.remote_sensing.registration.matcher import LoFTRMatcher as LoFTRMatcher
    from domains.remote_sensing.registration.term import MatchPairs as MatchPairs

_WHERE = {
    "LoFTRMatcher": "matcher",
    "MatchPairs": "term",
    "RegistrationError": "figures",
    "fit_transform": "fit",
    "load_matcher": "checkpoint",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
