"""The tests of this folder need a process of their own: ``../test_card.py`` starts it."""

import sys

collect_ignore_glob = [] if "python_tests.simt.card.plugin" in sys.modules else ["test_*.py"]
