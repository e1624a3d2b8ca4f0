"""The engines of a run: its calls are made in this process, or by the workers of a Ray cluster."""
