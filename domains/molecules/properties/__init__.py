"""Measured properties from a frozen encoder: ridge regression, beside fingerprints and an untrained one."""

from domains.molecules.properties.probe import Figures as Figures
from domains.molecules.properties.probe import compare as compare
from domains.molecules.properties.probe import ridge_figures as ridge_figures
