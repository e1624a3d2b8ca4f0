"""The parts of the architecture, a module each."""
