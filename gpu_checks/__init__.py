"""Checks that need a GPU: ``bash gpu_checks/run.sh [--dry-run]``."""
