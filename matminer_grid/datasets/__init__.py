"""Where structures and properties come from."""
