"""The molecules suite: what models of knowledge graphs, and of texts with graphs, claim."""

ENTRIES = ("kg_text", "kg_parity", "graph_facts", "graph_answers")
