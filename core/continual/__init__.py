"""Continual learning: tasks one after the other, each beginning with what the last one left."""

from core.continual.sequence import Task, run_sequence
from core.objectives import CompatibleMomentum, FrozenTeacher, TopologyPreservation

__all__ = ["CompatibleMomentum", "FrozenTeacher", "Task", "TopologyPreservation", "run_sequence"]
