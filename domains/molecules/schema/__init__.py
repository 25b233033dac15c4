"""Annotated text of materials science as one task, text to schema (MatSci-NLP, Song et al., ACL 2023)."""
