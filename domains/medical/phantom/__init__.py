"""ThoraxPhantom: simulated paired chest CT, radiograph and report, from one set of facts. Light: numpy and scipy."""

from domains.medical.phantom.facts import Body, Finding
from domains.medical.phantom.labels import LABELS, LESIONS, ORGANS
from domains.medical.phantom.report import Report
from domains.medical.phantom.study import Study, simulate
from domains.medical.phantom.write import write_dataset, write_study

__all__ = [
    "LABELS",
    "LESIONS",
    "ORGANS",
    "Body",
    "Finding",
    "Report",
    "Study",
    "simulate",
    "write_dataset",
    "write_study",
]
