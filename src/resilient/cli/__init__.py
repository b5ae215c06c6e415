"""The command line: ``resilient``, or ``python -m resilient``."""
