"""Molecules, their texts, and knowledge graphs. Light to import: torch and RDKit come with use."""
