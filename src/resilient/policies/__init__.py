"""Policies, one module each. Nothing is re-exported here."""
