"""``resilient demo``: one small service, bare and protected, under the same real faults.

Who runs, each a process of its own, none on a fixed port::

    run      this terminal: starts and ends the others, plays the faults, shows and reports
    loader   sends the same requests at the same moments to both services
    bare     the pricing service as it is often written
    protected  the same service behind the library
    upstream the HTTP server both get live prices from; killed, slowed and broken
    restorer restores the databases from a backup: locks them, then puts other files in place

Every child ends when its standard input closes, and so when the parent dies in whatever way.
"""
