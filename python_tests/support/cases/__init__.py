"""One file an operator: the calls that its contract and the emulator of the CUDA kernels try it on."""
