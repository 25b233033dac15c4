"""Self-contained HTML reports and overview pictures of a run."""

from core.report.content import Answer, Drawing, Item, KeyFigure, Overlay, RetrievalExample
from core.report.environment import environment
from core.report.html import Report
from core.report.maps import map_cases_png
from core.report.pictures import to_uint8

__all__ = [
    "Answer",
    "Drawing",
    "Item",
    "KeyFigure",
    "Overlay",
    "Report",
    "RetrievalExample",
    "environment",
    "map_cases_png",
    "to_uint8",
]
