"""Random windows of large rasters for training, in an order that lets neighbours share decoded blocks."""

from domains.remote_sensing.windows.dataset import WindowDataset
from domains.remote_sensing.windows.plan import Drawn, WindowPlan
from domains.remote_sensing.windows.sampler import WindowSampler

__all__ = ["Drawn", "WindowDataset", "WindowPlan", "WindowSampler"]
