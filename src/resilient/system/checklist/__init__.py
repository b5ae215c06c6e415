"""What must hold before the mode improves."""
