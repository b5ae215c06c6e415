"""Settings: defaults < file < environment < code."""
