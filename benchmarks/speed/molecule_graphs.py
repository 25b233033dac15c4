"""Molecules per second from SMILES to graph on one core, beside the Open Graph Benchmark's and PyG's, in one run.

Real molecules that ship with RDKit. Every contestant has a process of its own, so that none finds memory that another
left in pieces (in one process that cost ours a sixth); their rounds alternate and the best round of each counts, so
that a busy machine slows all of them alike. Features are compared with the peer's, atom by atom and bond by bond.
Seconds are those of the processor. What was learned of surroundings in the first round is known in the later ones, as
in an epoch; "first time" is the round in which nothing was. Also: the same with several processes, in wall time.

    python -m benchmarks speed --suite molecule_graphs --molecules 5000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError


def molecules(count: int) -> list[str]:
    """SMILES that RDKit reads, half from the NCI database, half from a screening library, evenly spaced."""
    from domains.molecules.data.shipped import nci, wehi
    from domains.molecules.io.parse import read_many

    texts: list[str] = []
    for read in (nci, wehi):
        found = [text for _, text in read()]
        texts += found[:: max(1, 2 * len(found) // count)][: count // 2]
    return [text for text, mol in zip(texts, read_many(texts), strict=True) if not isinstance(mol, DataError)]


def contestants() -> dict[str, Callable[[list[str]], list[Any]]]:
    """Name -> list of SMILES to list of graphs; peers that are not installed are left out."""
    from domains.molecules.graphs import graph_of, graphs_of
    from domains.molecules.graphs.vocabulary import OGB9
    from domains.molecules.io.rdkit import chem

    parse = chem().MolFromSmiles
    found: dict[str, Callable[[list[str]], list[Any]]] = {
        "RDKit parsing alone": lambda texts: [parse(text) for text in texts],
        "ours": lambda texts: graphs_of(texts, OGB9),
        "ours, one by one": lambda texts: [graph_of(text, OGB9) for text in texts],
    }
    if find_spec("ogb") is not None:
        from ogb.utils import smiles2graph

        found["ogb smiles2graph"] = lambda texts: [smiles2graph(text) for text in texts]
    if find_spec("torch_geometric") is not None:
        from torch_geometric.utils import from_smiles

        found["PyG from_smiles"] = lambda texts: [from_smiles(text) for text in texts]
    return found


def seconds(name: str, texts: list[str]) -> float:
    """In a process of a pool: processor seconds of a contestant."""
    run = contestants()[name]
    begun = time.process_time()
    run(texts)
    return time.process_time() - begun


def equal_share(texts: list[str]) -> float | None:
    """Share of molecules whose graph equals the peer's entirely; None without the peer."""
    if find_spec("ogb") is None:
        return None
    from ogb.utils import smiles2graph

    from domains.molecules.graphs import graphs_of
    from domains.molecules.graphs.vocabulary import OGB9

    equal = []
    for text, graph in zip(texts, graphs_of(texts, OGB9), strict=True):
        theirs = smiles2graph(text)
        pairs = () if isinstance(graph, DataError) else (
            (graph.atoms, theirs["node_feat"]), (graph.edges, theirs["edge_index"]), (graph.bonds, theirs["edge_feat"])
        )  # fmt: skip
        equal.append(bool(pairs) and all(np.array_equal(a, b) for a, b in pairs))
    return float(np.mean(equal))


def featurise_count(texts: list[str]) -> int:
    """In a process of a pool: featurise, and say how many."""
    from domains.molecules.graphs import graphs_of

    return len(graphs_of(texts))


def scaling(texts: list[str], processes: int) -> float:
    """Molecules per second of wall time with a pool that is already running."""
    parts = [texts[i::processes] for i in range(processes)]
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(featurise_count, [part[:32] for part in parts]))
        begun = time.perf_counter()
        done = sum(pool.map(featurise_count, parts))
        return done / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--molecules", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2, help="of the scaling figure; 1: leave it out")
    parser.add_argument("--scaled", type=int, default=20_000, help="molecules of the scaling figure, with repetitions")
    parser.add_argument("--out", type=Path, default=Path("runs/speed/molecule_graphs.json"))
    args = parser.parse_args()

    texts = molecules(args.molecules)
    found: dict[str, list[float]] = {name: [] for name in contestants()}
    with ExitStack() as stack:
        spawned = multiprocessing.get_context("spawn")
        pools = {name: stack.enter_context(ProcessPoolExecutor(1, mp_context=spawned)) for name in found}
        for name, pool in pools.items():
            pool.submit(seconds, name, texts[:1]).result()  # imports
        for _ in range(1 + args.rounds):
            for name, pool in pools.items():
                found[name].append(pool.submit(seconds, name, texts).result())
    first = len(texts) / found["ours"][0]
    best = {name: min(measured[1:]) for name, measured in found.items()}
    rates = {name: len(texts) / took for name, took in best.items()}
    for name, rate in rates.items():
        print(f"{name:<22} {rate:9,.0f} molecules/s")
    print(f"{'ours, first time':<22} {first:9,.0f} molecules/s")
    result: dict[str, Any] = {
        "molecules": len(texts), "rounds": args.rounds, "per_processor_second": rates,
        "ours_first_time": first, "equal_to_ogb": equal_share(texts),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }  # fmt: skip
    if "ogb smiles2graph" in rates:
        result["times_ogb"] = rates["ours"] / rates["ogb smiles2graph"]
        print(f"ours / ogb: {result['times_ogb']:.2f}; equal graphs: {result['equal_to_ogb']:.2%}")
    if args.processes > 1:
        # long enough for the pool's own cost not to count
        many = (texts * -(-args.scaled // len(texts)))[: args.scaled]
        walls = [[scaling(many, n) for n in (1, args.processes)] for _ in range(args.rounds)]
        result["wall"] = {n: max(rates) for n, rates in zip((1, args.processes), zip(*walls, strict=True), strict=True)}
        one, several = result["wall"].values()
        result["times_one_process"] = several / one
        print(
            f"wall: 1 process {one:,.0f}/s, {args.processes} processes {several:,.0f}/s "
            f"({several / one:.2f} times as many)"
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
