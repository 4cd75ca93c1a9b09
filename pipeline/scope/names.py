"""The retrievers that a user may ask for, by name: for the command line and the settings, which load no library."""

RETRIEVERS = ("tree", "residual", "residual_tree", "flat", "tfidf", "tfidf_expanded")
CONTROLS = ("shuffled_tree", "oracle")
