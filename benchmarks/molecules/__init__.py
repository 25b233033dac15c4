"""The molecules suite: what knowledge graph models claim, on small real and on rule-made graphs."""

ENTRIES = ("kg_text", "kg_parity", "reaction_contexts")
