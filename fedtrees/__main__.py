"""The command line as a module: ``python -m fedtrees``."""

from __future__ import annotations

import sys

from fedtrees.cli import main

if __name__ == "__main__":
    sys.exit(main())
