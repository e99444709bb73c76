"""What the numbers of :mod:`benchmarks.bulk_modulus` depend on beside the package: a change in either makes results stale."""
