"""Which correlations and linkages show a true tree, what chance makes of them, what comes back with another seed."""
