"""Downstream tasks on molecules: the core's, with what chemists ask of them."""

from domains.molecules.tasks.properties import Properties as Properties
