"""Hierarchical sparse autoencoders for targeted knowledge unlearning: the library.

Axis letters, used as suffixes of names (``acts_nd``) and at line ends where a shape changes:

    n  tokens (rows of a store)          b  rows of one batch
    d  model width (residual stream)     s  latents of the dictionary (d_sae)
    t  positions in one sequence         v  vocabulary entries
    w  windows or documents (pooled)     p  latent pairs
    g  groups (nodes of one cut)         m  merges of the dendrogram (s - 1)
    q  probes                            o  answer options of a probe
"""
