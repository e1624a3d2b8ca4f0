"""The way of an agent from a folder to an endpoint."""
