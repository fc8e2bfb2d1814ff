"""What only a customer would notice: the services are healthy, and the shop is of no use."""

from __future__ import annotations

from pathlib import Path

from aftermath import OLD, Scene


def journey(scene: Scene, tmp_path: Path, refuses: str) -> dict[str, object]:
    """One that does not like what the storefront has in its page."""
    program = tmp_path / "journey"
    page = scene.shop.health_url("storefront")
    program.write_text(f"#!/bin/sh\ncurl -sk --resolve '{scene.shop.resolve(page)}' '{page}' | grep -q '{refuses}' && echo 'no cart here' && exit 3\nexit 0\n")
    program.chmod(0o755)
    return {"name": "cart", "command": [str(program)]}
