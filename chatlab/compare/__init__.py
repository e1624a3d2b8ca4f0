"""Comparison: the same conversation to several backends, with numbers and votes that can be trusted."""
