"""What a knowledge graph made by RULE says of a molecule: computed from its structure, measured by nobody.

Entities are named `kind:value`, so that no two kinds share one.
"""

from __future__ import annotations

from typing import Any

from domains.molecules.describe.facts import Facts
from domains.molecules.describe.wordings import area_band, log_p_band, qed_band
from domains.molecules.graphs.fragments import brics_fragments

Statement = tuple[str, str]  # (relation, entity)
WEIGHT_STEP = 100  # g/mol
MOST_FRAGMENTS = 8  # of a molecule: a macrocycle or a peptide has dozens
RELATIONS = ("has_scaffold", "has_fragment", "has_group", "has_ring", "in_weight_band", "in_log_p_band",
             "in_polar_surface_band", "in_drug_likeness_band", "has_charge", "has_stereo")  # fmt: skip


def statements(mol: Any, facts: Facts) -> list[Statement]:
    """All that is said of one molecule, each once, in a fixed order. A molecule is no fragment of itself."""
    low = int(facts.weight // WEIGHT_STEP) * WEIGHT_STEP
    found = [("has_scaffold", f"scaffold:{facts.scaffold}")] if facts.scaffold else []
    fragments = [f for f in brics_fragments(mol) if "*" in f]  # without a cut the only fragment is the molecule
    found += [("has_fragment", f"fragment:{f}") for f in fragments[:MOST_FRAGMENTS]]
    found += [("has_group", f"group:{name}") for name in facts.groups]
    found += [("has_ring", f"ring:{name}") for name in facts.rings]
    found += [
        ("in_weight_band", f"weight:{low} to {low + WEIGHT_STEP}"),
        ("in_log_p_band", f"log P:{log_p_band(facts.log_p)}"),
        ("in_polar_surface_band", f"polar surface:{area_band(facts.polar_area)}"),
        ("in_drug_likeness_band", f"drug-likeness:{qed_band(facts.qed)}"),
    ]
    if facts.charge:
        found.append(("has_charge", f"charge:{facts.charge:+d}"))
    if facts.centres:
        found.append(("has_stereo", "stereo:all stated" if facts.assigned == facts.centres else "stereo:open"))
    return list(dict.fromkeys(found))
