"""Checks that only a GPU can do: ``bash gpu_checks/run.sh [--dry-run]``."""
