"""What skae is measured by: python -m benchmarks TASK."""
