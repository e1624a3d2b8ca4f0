"""The entry of a bare checkout: `python app.py`, `gradio app.py`, and a Hugging Face Space all run this.

The configuration is the file that CHATLAB_CONFIG names, or configs/default.yaml beside this file. Where its
`server` names a host or a port, they are used, unless GRADIO_SERVER_NAME or GRADIO_SERVER_PORT, as a Space
sets them, say otherwise.
"""

import os
import sys
import threading
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before Gradio is imported

from chatlab.garbage import importing_for_good

with importing_for_good():
    import chatlab
    from chatlab.errors import ConfigError
    from chatlab.web.server import LaunchedPage

config = os.environ.get("CHATLAB_CONFIG") or Path(__file__).parent / "configs" / "default.yaml"
try:
    demo = LaunchedPage(chatlab.load(config))
except ConfigError as exc:
    # Not where it is imported, nor in the thread of `gradio app.py` that watches for changes and goes on.
    if __name__ != "__main__" or threading.current_thread() is not threading.main_thread():
        raise
    sys.exit("\n".join(f"chatlab: {problem}" for problem in exc.problems))

if __name__ == "__main__":
    server = demo.lab_config.server
    written = server.model_fields_set
    demo.launch(
        server_name=server.host if "host" in written and "GRADIO_SERVER_NAME" not in os.environ else None,
        server_port=server.port if "port" in written and "GRADIO_SERVER_PORT" not in os.environ else None,
    )
