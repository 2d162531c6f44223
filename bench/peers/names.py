"""The peers' names in tables, CSV files and pictures."""

EAGER, VECTORISED, COMPILED = "eager torch", "vectorised torch", "torch.compile"
SKLEARN, NUMBA, FASTBBOX = "scikit-learn", "numba", "fastbbox"
TORCHVISION, MMDET = "torchvision", "mmdetection"
PLAIN_BCE = "plain BCE"
REFERENCES = "torch twins"  # the operators' references; results have had this name from the start
