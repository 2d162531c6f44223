"""The batch for all measurements, and the bytes and flops that each operator needs on it."""
