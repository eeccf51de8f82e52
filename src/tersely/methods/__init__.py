"""The methods: one file each, with its parts, its modules, its loss and its presets.

Every module of this folder and of `contrib` is imported here, and thereby registers what it has: a
new file is a new method. In `contrib` are methods that were not measured yet.
"""

import importlib
import pkgutil

for _found in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_found.name)
