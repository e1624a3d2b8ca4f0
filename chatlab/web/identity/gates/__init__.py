"""The gates: what stands before all pages, one for each way by which people come in."""
