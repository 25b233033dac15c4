"""The molecules suite: what models of molecules, reactions, knowledge graphs and texts with graphs claim."""

ENTRIES = (
    "kg_text",
    "kg_parity",
    "reaction_contexts",
    "linking_features",
    "linking_levels",
    "graph_facts",
    "graph_answers",
    "unigraph_neighbours",
    "graphclip_shift",
)
LONG = ("property_prediction",)  # runs when named; drives whole commands
