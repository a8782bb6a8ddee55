#!/usr/bin/env python3
"""Write a C file with the bytes of files: embed.py [--symbol NAME] OUT ROOT FILE... (names are relative to ROOT; "": without their directories)."""
import os
import sys


def c_string(text):
    lines = text.replace("\\", "\\\\").replace('"', '\\"').split("\n")
    if lines[-1] == "":
        lines.pop()
    return "\n".join('\t\t"%s\\n"' % line for line in lines)


def main():
    args, symbol = sys.argv[1:], "skeletons"
    if args[0] == "--symbol":
        symbol, args = args[1], args[2:]
    out, root, files = args[0], args[1], args[2:]
    with open(out, "w", encoding="utf-8") as f:
        f.write('#include <stddef.h>\n\n#include "runtime/objects.h"\n\nextern const struct skeleton %s[];\nconst struct skeleton %s[] = {\n' % (symbol, symbol))
        for path in files:
            with open(path, encoding="utf-8") as src:
                f.write('\t{"%s",\n%s},\n' % (os.path.relpath(path, root) if root else os.path.basename(path), c_string(src.read())))
        f.write("\t{NULL, NULL},\n};\n")


main()
