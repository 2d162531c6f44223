"""Measures the operators against peers: other ways to compute the same results. README.md describes how."""
