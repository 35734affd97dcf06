"""`python -m encodec_lab` is the `encodec` command."""

import sys

from encodec_lab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
