"""Side-by-side runs against peers: ``python -m benchmarks.core``. They are no tests."""
