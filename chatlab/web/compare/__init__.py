"""The comparison page: its routes, and what its browser is told."""
