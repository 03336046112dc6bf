"""What Quarto runs before it renders: puts a run where the pages read it, with whichever Python has the library.

The run is that of ``PILOTLM_RUN``, else the newest finished one, else the reference run.
"""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / ".venv"

if os.environ.get("PILOTLM_STAGED"):
    sys.exit()
if importlib.util.find_spec("pilotlm") is None:
    python = OWN / "bin" / "python"
    if python.exists() and Path(sys.prefix) != OWN:
        os.execv(python, [str(python), *sys.argv])  # noqa: S606
    sys.exit("The pages need the library pilotlm, which is not installed here: run `make paper` once.")

from pilotlm.cli import main  # noqa: E402

os.environ.setdefault("PILOTLM_HOME", str(ROOT))
whole = ["--if-needed"] if "QUARTO_PROJECT_RENDER_ALL" not in os.environ else []
sys.exit(main(["stage", *whole, *filter(None, [os.environ.get("PILOTLM_RUN")])]))
