"""Makes the checkout importable as the collection that it is, wherever it lies."""

from __future__ import annotations

import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
# The playbooks carry a link named like the collection, for ansible-playbook; Python finds it by the same path.
sys.path.insert(0, str(REPO / "playbooks" / "collections"))
sys.path.insert(0, str(REPO / "tests" / "lab"))
sys.path.insert(0, str(REPO / "tests" / "unit" / "plugins"))
