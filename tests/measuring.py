"""Which processes that tests start are measured, where coverage is."""

import os

MEASURED = {name: os.environ[name] for name in ("COVERAGE_PROCESS_CONFIG",) if name in os.environ}
"""What the environment of a process has to hold besides, for coverage to measure it; tests/conftest.py takes it out."""
