"""The real sae-bench package, run in a process of its own on a model folder and an SAE folder."""
