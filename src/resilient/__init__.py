"""An embeddable resilience library."""
