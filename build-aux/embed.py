#!/usr/bin/env python3
"""Write a C file with the bytes of files: embed.py OUT ROOT FILE... (names are relative to ROOT)."""
import os
import sys


def c_string(text):
    lines = text.replace("\\", "\\\\").replace('"', '\\"').split("\n")
    if lines[-1] == "":
        lines.pop()
    return "\n".join('\t\t"%s\\n"' % line for line in lines)


def main():
    out, root, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(out, "w", encoding="utf-8") as f:
        f.write('#include <stddef.h>\n\n#include "runtime/objects.h"\n\nconst struct skeleton skeletons[] = {\n')
        for path in files:
            with open(path, encoding="utf-8") as src:
                f.write('\t{"%s",\n%s},\n' % (os.path.relpath(path, root), c_string(src.read())))
        f.write("\t{NULL, NULL},\n};\n")


main()
