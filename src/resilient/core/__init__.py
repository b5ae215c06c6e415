"""Machinery: what a policy is, the drivers that run policies, the ports, and the hub."""
