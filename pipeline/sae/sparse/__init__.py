"""Products with a few active latents per row, and their gradients."""
