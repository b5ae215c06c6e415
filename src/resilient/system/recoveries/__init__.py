"""Actions that bring a component back, tried and checked."""
