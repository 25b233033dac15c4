"""Importing does nothing and costs little; imports go one way; the core names no domain."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOMAINS = sorted(p.parent.name for p in (ROOT / "domains").glob("*/__init__.py"))
VERBS = ("pretrain", "finetune", "evaluate", "embed")


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, env={**os.environ, **env}
    )


def imports_of(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "core").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_imports_no_domain_and_names_none(path):
    for name in imports_of(path):
        assert name.split(".")[0] not in ("domains", "benchmarks"), name
    words = set(re.findall(r"[A-Za-z_]+", path.read_text(encoding="utf-8")))
    assert not words & {"CT", "DICOM", "NIfTI", "SMILES", "Sentinel", "anndata", "nibabel", "pydicom", "rdkit"}


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_domain_imports_another(domain):
    for path in (ROOT / "domains" / domain).rglob("*.py"):
        for name in imports_of(path):
            parts = name.split(".")
            assert parts[0] != "benchmarks"
            assert parts[:1] != ["domains"] or parts[1] == domain, f"{path}: {name}"


def test_nothing_unpickles_evaluates_or_extracts():
    """No file of others is ever run: the names that would are not in the tree."""
    banned = {"pickle", "dill", "joblib", "marshal", "shelve"}
    calls = {"eval", "exec", "extractall", "read_pickle", "unsafe_load", "full_load"}
    for folder in ("core", "domains", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not banned & {name.split(".")[0] for name in imports_of(path)}, path
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert not (name in ("eval", "exec") and not owner), f"{path}:{node.lineno}"
                assert name not in calls - {"eval", "exec"}, f"{path}:{node.lineno}"
                assert given.get("allow_pickle", "False") == "False", f"{path}:{node.lineno}"
                assert "trust_remote_code" not in given, f"{path}:{node.lineno}"
                assert (owner, name) != ("torch", "load") or given.get("weights_only") == "True", (
                    f"{path}:{node.lineno}"
                )


@pytest.mark.parametrize("domain", DOMAINS)
def test_importing_a_domain_is_quick_and_leaves_the_process_as_it_was(domain):
    done = python(f"""
import logging, os, random, sys, time, warnings
before = (dict(os.environ), random.getstate(), list(logging.root.handlers), logging.root.level,
          list(warnings.filters), warnings.showwarning, set(logging.root.manager.loggerDict))
begun = time.process_time()
import domains.{domain}
took = time.process_time() - begun
after = (dict(os.environ), random.getstate(), list(logging.root.handlers), logging.root.level,
         list(warnings.filters), warnings.showwarning, set(logging.root.manager.loggerDict))
assert before == after, [a for a, b in zip(after, before) if a != b]
heavy = {{"torch", "numpy", "lightning", "monai", "pandas", "pydantic", "yaml"}} & set(sys.modules)
assert not heavy, heavy
assert set(dir(domains.{domain})) >= set(domains.{domain}.__all__)
print(took)
""")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.15


@pytest.mark.parametrize("module", ["core", "core.config.schema", "core.training", "core.training.cli", "core.errors"])
def test_what_the_command_line_needs_is_free_of_torch(module):
    done = python(f"import sys, {module}; assert not {{'torch', 'numpy', 'lightning'}} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["core.hub", "core.report"])
def test_importing_the_heavier_parts_leaves_the_process_as_it_was_too(module):
    done = python(f"""
import os, random, numpy, torch
environ, threads = dict(os.environ), torch.get_num_threads()
state, numbers, own = torch.random.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()
import {module}
assert torch.equal(torch.random.get_rng_state(), state)
assert (numpy.random.get_state()[1] == numbers).all() and random.getstate() == own
assert torch.get_num_threads() == threads and dict(os.environ) == environ
assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
import sys
assert not {{"monai", "matplotlib.pyplot", "lightning"}} & set(sys.modules), "heavy imports belong into functions"
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("verb", VERBS)
def test_help_answers_within_a_second_and_without_torch(domain, verb):
    code = f"""
import sys, time
begun = time.process_time()
from core.training.cli import main
try:
    main({domain!r}, {verb!r}, ["--help"])
except SystemExit as end:
    assert end.code == 0
assert not {{"torch", "numpy", "lightning"}} & set(sys.modules)
print(time.process_time() - begun, file=sys.stderr)
"""
    done = python(code, COLUMNS="100")
    assert done.returncode == 0, done.stderr
    assert float(done.stderr.splitlines()[-1]) < 1
    assert f"usage: python -m domains.{domain}.{verb}" in done.stdout
    assert "--resume RUN_DIR" in done.stdout
    assert "--trainer.precision" in done.stdout


def test_the_real_command_answers_help_and_lists_what_there_is():
    for command in ([f"domains.{d}.{v}" for d in DOMAINS for v in VERBS], ["domains"]):
        for name in command:
            arguments = ["--help"] if name != "domains" else []
            done = subprocess.run(
                [sys.executable, "-m", name, *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT
            )
            assert done.returncode == 0, done.stderr
    for domain in DOMAINS:
        assert f"{domain}: " in done.stdout
        for path in (ROOT / "configs" / domain).glob("*/*.yaml"):
            assert path.name.startswith("_") or f"--config {path.stem}" in done.stdout


def test_a_reader_that_leaves_early_is_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "domains"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # as `| head -0` would
    said = process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
