"""Signing in on the pages: the gate before everything, and the few pages that are outside of it."""
