"""Lets ``python -m resilient`` stand for the ``resilient`` command."""

import sys

from resilient.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
