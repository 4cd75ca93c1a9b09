"""Ways to find the rest of what a few examples are about, one a file, all with one signature."""
