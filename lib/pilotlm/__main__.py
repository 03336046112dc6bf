"""``python -m pilotlm`` is the command ``pilotlm``."""

import sys

from pilotlm.cli import main

if __name__ == "__main__":
    sys.exit(main())
