"""Names of the peers in tables, CSV files and pictures."""

EAGER, VECTORISED, COMPILED = "eager torch", "vectorised torch", "torch.compile"
SKLEARN, NUMBA, FASTBBOX = "scikit-learn", "numba", "fastbbox"
TORCHVISION, MMDET, MMDET_HEAD = "torchvision", "mmdetection", "mmdetection PAAHead"
PLAIN_BCE = "plain BCE"
REFERENCES = "torch twins"  # the references of the operators; committed results contain this name
