"""The decision: evidence in, a mode out, all of it pure."""
