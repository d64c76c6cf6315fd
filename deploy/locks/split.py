"""Cut the resolved locks apart: torch alone (its index differs), cpu.txt, and dev.txt with only what it adds."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def read(name: str) -> dict[str, str]:
    blocks = re.split(r"(?m)^(?=[a-z0-9])", (HERE / name).read_text())
    return {block.split("==")[0].split("[")[0]: block for block in blocks if "==" in block}


cpu, dev = read("cpu.txt"), read("dev.txt")
torch = cpu.pop("torch")
(HERE / "torch-cpu.txt").write_text(torch.split(" ")[0].strip() + "\n")
(HERE / "cpu.txt").write_text("".join(cpu.values()))
(HERE / "dev.txt").write_text("".join(text for name, text in dev.items() if name not in cpu and name != "torch"))
changed = [name for name in cpu if dev.get(name, "").splitlines()[:1] != cpu[name].splitlines()[:1]]
if changed:
    raise SystemExit(f"dev.txt resolves other versions than cpu.txt for: {', '.join(changed)}")
