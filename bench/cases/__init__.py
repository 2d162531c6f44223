"""One module for each bench; ``BENCHES`` has their names."""

BENCHES = (
    "iou",
    "decode_boxes",
    "match_anchors",
    "gmm_em",
    "assign_cost",
    "focal_loss",
    "focal_kl",
    "paa_assign",
    "post_processing",
    "training_step",
    "head_step",
)
"""Each module has ``cases(sizes, machine)``. ``scaling`` is another kind of bench and has a command of its own."""
