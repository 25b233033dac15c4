"""The molecules suite: what knowledge graph models claim, on small real and on rule-made graphs; entity linking."""

ENTRIES = ("kg_text", "kg_parity", "linking_features", "linking_levels")
