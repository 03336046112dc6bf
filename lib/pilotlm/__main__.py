"""``python -m pilotlm`` is the command ``pilotlm``."""

import sys

from pilotlm.cli import main

sys.exit(main())
