"""What the application serves, how well, and what a bad time costs."""
