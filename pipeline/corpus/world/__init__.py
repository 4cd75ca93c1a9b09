"""The embedded fictional world, whose truth is known: its knowledge, documents and probes."""
