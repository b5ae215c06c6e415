"""What is to be done when something went wrong, step by step."""
