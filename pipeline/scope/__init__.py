"""From a few examples to exactly the entity, topic or domain that is meant, and to all text about it."""
