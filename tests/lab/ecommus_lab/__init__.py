"""The lab: three stand-in ecommus shops on this machine, made of real parts.

See ``tests/lab/README.md``.
"""

import os

# Node.js brings its own list of authorities; a network with an authority of its own is known to the system's list only.
os.environ.setdefault("NODE_USE_SYSTEM_CA", "1")
