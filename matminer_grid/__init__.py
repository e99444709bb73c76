"""Crystal-structure similarity across length scales, as a plugin for matminer.

Nothing heavy runs at import: the names that ``__init__.pyi`` lists are loaded when they are first used.
"""

import lazy_loader

from matminer_grid._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
