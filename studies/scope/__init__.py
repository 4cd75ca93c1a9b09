"""Which retriever finds exactly what two examples mean."""
