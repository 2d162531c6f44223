"""Our assignment inside other people's detectors: one module a foreign package, imported by nobody else.

Each has ``patch(model, *, config=None, teacher=None)``, which returns the same object with its labels assigned by us.
"""
