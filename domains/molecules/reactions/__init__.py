"""Reactions as contexts of molecules: how they are drawn, told and scored."""
