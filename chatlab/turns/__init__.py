"""One turn: run, fitted to its backend, and timed. The only way a backend is called."""
