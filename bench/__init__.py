"""Measures the operators against other ways to the same result; README.md says how."""
