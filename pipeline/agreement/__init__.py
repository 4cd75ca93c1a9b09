"""Do trees, groups and single latents come back in another dictionary?"""
