"""Feature correlation, dendrogram, cuts, and their quality."""
