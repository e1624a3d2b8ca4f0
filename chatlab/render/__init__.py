"""Shows answers and figures to people, wherever they are shown."""
