"""Run the proof: ``python -m truth.run [--quick]``; `make truth` does it in full."""

from __future__ import annotations

import sys
sys.exit("to be written")
