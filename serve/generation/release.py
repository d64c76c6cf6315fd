"""Where models lie, and which prompt layout a model was trained on."""

import json
from pathlib import Path

DEMO_FOLDER = Path(__file__).parent / "demo_model"


def prompt_version(folder: Path) -> str | None:
    """The layout that the model in `folder` was trained on; None for a model that reads any prompt."""
    path = folder / "prompt_version.json"
    if not path.is_file():
        return None
    return str(json.loads(path.read_text(encoding="utf-8"))["prompt_version"])
