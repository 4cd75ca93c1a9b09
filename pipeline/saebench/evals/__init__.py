"""One adapter for each of sae-bench's evals."""
