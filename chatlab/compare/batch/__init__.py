"""Runs of many prompts against several lanes: prompts, checks, judge, budget, resume."""
