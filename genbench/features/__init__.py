"""Feature extractors, one a file: images (or points) to the vectors on which distances between sets are measured."""
