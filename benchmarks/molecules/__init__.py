"""The molecules suite: what models of molecules, of knowledge graphs, of texts with graphs and of entity linking claim."""

ENTRIES = (
    "kg_text",
    "kg_parity",
    "linking_features",
    "linking_levels",
    "graph_facts",
    "graph_answers",
    "unigraph_neighbours",
    "graphclip_shift",
)
LONG = ("property_prediction",)  # runs when named; drives whole commands
