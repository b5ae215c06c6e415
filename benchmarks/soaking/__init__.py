"""Parts of the soak: a server that misbehaves, the load on it, and who watches what grows."""
