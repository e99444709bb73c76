"""Runnable comparisons: python -m benchmarks.NAME; each writes its results to --output."""
