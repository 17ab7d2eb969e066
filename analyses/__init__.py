"""Runnable studies: each file is a function that returns a frozen result, and a command of `recurlens` over it."""

import os
import runpy
import sys

_ROOT = os.path.dirname(os.path.dirname(__file__))
try:
    # By its path: `interp` itself may be what another folder hides.
    _check = runpy.run_path(os.path.join(_ROOT, "interp", "shadowing.py"))["refuse_shadows"]
    _check(_ROOT, ("models", "interp"))
except ImportError as error:
    # Of a command: `recurlens`, or `python -m analyses.NAME`.
    if sys.argv[0] == "-m" or os.path.basename(sys.argv[0]) == "recurlens":
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    raise
