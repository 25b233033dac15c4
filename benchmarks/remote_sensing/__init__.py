"""Radar and optical images: what pretraining and noisy labels are worth, on simulated scenes."""

ENTRIES = ()
LONG = ("noisy_labels",)
