"""Downstream tasks: what fine-tuning learns, and how it is scored."""

from core.training.tasks.adaptation import MapAdaptation
from core.training.tasks.base import Downstream, Outcome, Task
from core.training.tasks.change import ChangeDetection
from core.training.tasks.classification import Classification
from core.training.tasks.maps import MapSegmentation
from core.training.tasks.regression import Regression
from core.training.tasks.scene_class import SceneClassification
from core.training.tasks.segmentation import Segmentation

__all__ = [
    "ChangeDetection",
    "Classification",
    "Downstream",
    "MapAdaptation",
    "MapSegmentation",
    "Outcome",
    "Regression",
    "SceneClassification",
    "Segmentation",
    "Task",
]
