"""Front ends: the Gradio page, the terminal, and what serves them."""
