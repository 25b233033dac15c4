"""The remote sensing suite: what pretraining, both sensors and noisy labels are worth on simulated scenes, with the real
commands."""

ENTRIES = ("label_efficiency", "classification", "retrieval", "whole_scene")
LONG = ("noisy_labels",)
SIZES = True  # `--full`: the sizes of the acceptance figures; without it a rehearsal that shows that everything runs
