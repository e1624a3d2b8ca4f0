"""Recordings of answers: the format, and when each piece arrived."""
