"""Text and probes from any source, in one format."""
