"""The fictional knowledge base whose truth is known, and its documents and probes."""
