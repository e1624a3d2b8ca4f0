"""Stored conversations: their trees, how turns are saved, and the service that holds the store."""
