"""The Streamlit app: `app.py` lists the pages; each page is a folder or file of its own."""

import os
import runpy

_ROOT = os.path.dirname(os.path.dirname(__file__))
runpy.run_path(os.path.join(_ROOT, "interp", "shadowing.py"))["refuse_shadows"](
    _ROOT, ("models", "interp", "analyses")
)
