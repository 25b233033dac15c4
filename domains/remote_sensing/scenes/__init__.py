"""SyntheticScenes: simulated co-registered Sentinel-1 and -2 of one place on four dates, labels and captions."""

from domains.remote_sensing.scenes.classes import CLASSES, COLOURS
from domains.remote_sensing.scenes.scene import Scene, simulate

__all__ = ["CLASSES", "COLOURS", "Scene", "simulate"]
