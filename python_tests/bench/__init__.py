"""The tests of the benches and of the GPU checks, which run here without a GPU."""
