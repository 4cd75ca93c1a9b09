"""One frozen dataclass per section of params.yaml; the meaning and unit of each key stand there."""
