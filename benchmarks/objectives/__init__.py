"""The objectives suite: what the papers behind the objective library claim, on simulated data with small towers."""

ENTRIES = ("symile_xor", "identities", "tiled_is_dense")
