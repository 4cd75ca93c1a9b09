"""Final figures, one page that shows them, and finished runs side by side."""
