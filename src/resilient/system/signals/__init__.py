"""Figures that are watched: rates, composites, how full something is, thresholds."""
