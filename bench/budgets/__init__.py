"""All budgets by one command, with goal, figure and verdict: `python -m bench.budgets`."""
