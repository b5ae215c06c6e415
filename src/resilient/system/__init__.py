"""How evidence becomes a score, a state and a mode."""
