"""How bytes reach a file or a server. Knows nothing of caches, queues or journals."""
