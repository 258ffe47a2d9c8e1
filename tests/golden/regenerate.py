"""Writes ``losses.json`` anew and prints what changed. Run by hand, and only after a change that was meant to change losses.

python tests/golden/regenerate.py
"""

import json
from pathlib import Path

import torch
from losses_of import losses_of, variants

FILE = Path(__file__).parent / "losses.json"


def main():
    torch.set_num_threads(1)
    old = json.loads(FILE.read_text()) if FILE.exists() else {}
    new = {name: losses_of(name) for name in variants()}
    for name in sorted(set(old) | set(new)):
        if name not in new:
            print(f"{name}: gone")
        elif name not in old:
            print(f"{name}: new, {new[name]}")
        else:
            changes = [one / other - 1 for one, other in zip(new[name], old[name], strict=True)]
            largest = max(changes, key=abs)
            print(f"{name}: {'unchanged' if largest == 0 else f'largest relative change {largest:.3g}: {changes}'}")
    FILE.write_text(json.dumps(new, indent=1) + "\n")


if __name__ == "__main__":
    main()
