"""The medical suite: small published behaviours on simulated data, and the domain's own commands over several seeds."""

ENTRIES = ("convirt_probe", "duplicate_captions", "template_captions", "m3ae_mask_ratio", "m3ae_middle_layer")
LONG = ("segmentation_label_efficiency", "pretraining_seeds")  # run when named; each drives whole commands
