"""Other ways to compute the results of the operators: torch, scikit-learn, numba, torchvision and others."""
