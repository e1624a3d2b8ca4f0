"""How answers and figures are shown to people, wherever they are shown."""
