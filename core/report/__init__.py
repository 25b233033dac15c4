"""Self-contained HTML reports and overview pictures of a run."""

from core.report.content import Answer, Item, KeyFigure, Overlay, RetrievalExample
from core.report.environment import environment
from core.report.html import Report
from core.report.pictures import to_uint8

__all__ = ["Answer", "Item", "KeyFigure", "Overlay", "Report", "RetrievalExample", "environment", "to_uint8"]
