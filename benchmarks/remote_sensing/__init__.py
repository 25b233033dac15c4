"""The remote sensing suite: what pretraining, two sensors and noisy labels are worth, on simulated scenes."""

ENTRIES = ("label_efficiency", "classification", "retrieval", "whole_scene")
LONG = ("noisy_labels", "new_sensor", "summit_shift", "summit_adaptation")
SIZES = True  # `--full`: the sizes of the acceptance figures; without it a rehearsal that shows that everything runs
