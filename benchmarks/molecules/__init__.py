"""The molecules suite: what models of knowledge and text graphs claim, on small real and on rule-made graphs."""

ENTRIES = ("kg_text", "kg_parity", "unigraph_neighbours", "graphclip_shift")
