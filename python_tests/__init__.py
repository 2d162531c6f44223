"""The tests of colad_ops."""
