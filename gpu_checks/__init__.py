"""Checks that need a GPU: ``bash gpu_checks/run.sh [--list] [--dry-run] [PART...]``."""
