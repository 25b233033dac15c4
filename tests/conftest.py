"""What all tests share: one thread, caches in a temporary folder, no network, and the toy domain."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED_FOLDERS = ("cache", "toy_data", "toy_configs")  # of fixtures of the whole session


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is imported: processes that tests start find the suite and stay off the network."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.pop("LOCAL_RANK", None)
    for folder in (ROOT, ROOT / "tests"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the person's own cache is read or written; built data sets are shared by all tests of a session."""
    before = os.environ.get("HEPTAD_CACHE")
    os.environ["HEPTAD_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["HEPTAD_CACHE"]
    else:
        os.environ["HEPTAD_CACHE"] = before


@pytest.fixture(autouse=True, scope="module")
def _folders_of_a_module_go_with_it(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """What a module wrote is deleted when its tests passed: all runs of all systems together are gigabytes."""
    base, failed = tmp_path_factory.getbasetemp(), request.session.testsfailed
    before = set(os.listdir(base))
    yield
    if request.session.testsfailed != failed:
        return  # kept to be looked at
    for name in set(os.listdir(base)) - before:
        path = base / name
        if path.is_symlink():
            path.unlink()
        elif not name.startswith(SHARED_FOLDERS):
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy data set."""
    import toy_domain

    return toy_domain.write_dataset(tmp_path_factory.mktemp("toy_data"))


@pytest.fixture(scope="session")
def toy_configs(tmp_path_factory: pytest.TempPathFactory, toy_root: Path) -> Path:
    """Configs of the toy domain."""
    import toy_domain

    return toy_domain.write_configs(tmp_path_factory.mktemp("toy_configs"), toy_root)


@pytest.fixture
def toy_domain_known(toy_configs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy domain stands among the suite's, in this process."""
    from core import hub
    from core.training import cli, finetune

    monkeypatch.setattr(cli, "CONFIGS", toy_configs)
    monkeypatch.setattr(finetune, "CONFIGS", toy_configs)
    monkeypatch.setattr(hub, "TRUSTED", (*hub.TRUSTED, "toy_domain."))
    return toy_configs
