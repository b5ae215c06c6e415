"""Does the library help? One experiment in two worlds: a real server, and a simulated one.

Everything is written once against two small seams: the time of the running asyncio loop, and a
`World`, which can be asked and whose server can be put into a condition. See `experiment.driver`.
"""
