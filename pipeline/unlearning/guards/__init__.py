"""Guards: a detector decides where an edit acts."""
