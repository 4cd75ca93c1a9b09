"""What a real Gemma knows of real countries: trees, finding the rest, dictionaries beside those of SAELens."""
