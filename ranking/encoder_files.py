"""What an encoder's folder says of itself, readable without the encoder's own imports."""

import json
from pathlib import Path

SETTINGS_FILE = "encoder.json"


def encoder_identity(folder: Path) -> tuple[str, int]:
    """Name and dims of the encoder in `folder`."""
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    return settings["name"], settings["dims"]
