"""The entry of a bare checkout: `python app.py`, `gradio app.py`, and a Hugging Face Space all run this.

The configuration is the file that CHATLAB_CONFIG names, or configs/default.yaml beside this file.
"""

import os
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before Gradio is imported

import chatlab
from chatlab.ui.gradio_page import Page

config = os.environ.get("CHATLAB_CONFIG") or Path(__file__).parent / "configs" / "default.yaml"
demo = Page(chatlab.load(config))

if __name__ == "__main__":
    demo.launch()
