#!/usr/bin/env python3
"""Refuse includes that go the wrong way through the layers (docs/architecture.md). Usage: check-layers.py [SOURCE-ROOT]"""
import pathlib
import re
import sys

# A layer may include itself and the layers named here.
BELOW = ["base", "json", "net", "kube", "api", "runtime"]
PEERS = ["engines", "controllers", "csi", "reservoir", "local"]
ALLOWED = {layer: set(BELOW[: i + 1]) for i, layer in enumerate(BELOW)}
ALLOWED.update({peer: {*BELOW, peer} for peer in PEERS})
ALLOWED["uapi"] = {"uapi"}
ALLOWED["kit"] = {*BELOW, "controllers", "local", "kit"}
ALLOWED["cli"] = {*BELOW, *PEERS, "kit", "cli"}
PUBLIC = {"runtime", "engines", "controllers", "kit", "cli"}  # who may include include/sluice/
PUBLIC_USES = {"base", "json", "kube", "api", "runtime"}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z_0-9]+)/')
ENGINE = re.compile(r'"engines/([a-z_0-9]+)/')


def wrong_includes(root):
    for path in sorted([*root.glob("src/**/*.[ch]"), *root.glob("include/**/*.h")]):
        parts = path.relative_to(root).parts
        layer = parts[1]
        allowed = PUBLIC_USES | {"sluice"} if parts[0] == "include" else ALLOWED[layer] | ({"sluice"} if layer in PUBLIC else set())
        if layer == "reservoir":
            allowed = allowed | {"uapi"}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if match and match[1] not in allowed:
                yield f"{path.relative_to(root)}:{number}: {layer} may not include {match[1]}"
            # An engine does not include another engine either.
            engine = ENGINE.search(line) if match else None
            if engine and layer == "engines" and len(parts) > 3 and engine[1] != parts[2]:
                yield f"{path.relative_to(root)}:{number}: an engine includes nothing of another"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = list(wrong_includes(root))
    print("\n".join(found) if found else "layers: every include goes the right way")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
