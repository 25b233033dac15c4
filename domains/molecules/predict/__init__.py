"""Predicted properties of the molecules of a file, row for row."""

from domains.molecules.predict.run import Prediction as Prediction
from domains.molecules.predict.run import predict as predict
