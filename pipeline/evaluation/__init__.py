"""What the model still knows, what was damaged, and how good dictionary and tree are."""
