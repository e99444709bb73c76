"""Files and databases to crystals, and back.

What processes that only parse don't need is loaded when it is first used: see ``__init__.pyi``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
