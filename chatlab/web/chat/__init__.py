"""The chat page, made of Gradio."""
