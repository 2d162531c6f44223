"""One file for each operator: the calls for its contract and for the emulator of the CUDA kernels."""
