"""Controls: what any edit of that size would forget and break."""
