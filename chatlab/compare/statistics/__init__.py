"""What can be said of results and votes: rankings, intervals, audits, spread."""
