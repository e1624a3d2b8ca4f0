"""Statistics of results and votes: rankings, intervals, audits, spread."""
