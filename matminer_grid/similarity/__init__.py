"""Feature vectors to dissimilarity."""
