"""The Databricks SDK as a new process comes to it: by several calls at once."""

from __future__ import annotations

import subprocess
import sys

AT_ONCE = """
import sys, threading
from chatlab.databricks_sdk import databricks_sdk, sdk_config

sys.setswitchinterval(1e-5)
start, wrong = threading.Barrier(8), []

def one(use):
    start.wait()
    try:
        use()
    except Exception as exc:
        wrong.append(repr(exc))

uses = [sdk_config, lambda: databricks_sdk().WorkspaceClient] * 4
threads = [threading.Thread(target=one, args=(use,)) for use in uses]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(", ".join(wrong) or 0)
"""


def test_several_calls_that_need_it_first_at_once_all_get_the_whole_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
