"""Files and folders that one process at a time has."""

from __future__ import annotations


def lock(descriptor: int) -> None:
    """Have a file or folder alone while it is open; where there are no such locks, with others. Raises
    OSError if another process has it.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
