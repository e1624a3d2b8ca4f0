"""A comparison session: lanes asked side by side, their receipts, blind mode."""
