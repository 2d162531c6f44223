"""The machine code of the CUDA kernels: what the compiler made of them, counted without a GPU."""
