"""The toolkit: how a recurrent model's run is looked at and intervened on, step by step.

Public names stand in `__init__.pyi` and are imported on first use, so that ``import interp`` costs nothing.
"""

import os

from interp.shadowing import refuse_shadows

refuse_shadows(os.path.dirname(os.path.dirname(__file__)), ("models",))

from models.public_names import public_names  # noqa: E402

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
