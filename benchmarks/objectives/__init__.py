"""The objectives suite: what the papers behind the objective library claim, on simulated data with small towers."""

ENTRIES = (
    "symile_xor",
    "cwcl_transfer",
    "identities",
    "sample_smooth",
    "filip_parts",
    "slap_gap",
    "cyclip_consistency",
    "multimae_cross_modal",
    "ctp_forgetting",
    "hubs",
    "oti_retrieval",
    "xbm_drift",
    "tiled_is_dense",
)
