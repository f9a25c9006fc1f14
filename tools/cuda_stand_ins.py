#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lets a `torch` that was built for CUDA be imported where CUDA's libraries (2 GB) are not installed.

    tools/cuda_stand_ins.py TORCH FOLDER

TORCH is a `torch` package. For every library that its own ones need and the loader does not find, FOLDER gets one of
that name which holds the wanted functions; a call of any ends the program, saying so. On the CPU torch calls none. With
FOLDER in LD_LIBRARY_PATH `import torch` works. Where nothing is missing, FOLDER stays empty.
"""
import pathlib
import re
import subprocess
import sys

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
void thermoe_stand_in(void) {
  fputs("A function of a CUDA library was called that tools/cuda_stand_ins.py stands in for: this torch runs on the CPU "
        "only. Install the nvidia packages that torch asks for.\n", stderr);
  abort();
}
"""


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def missing_libraries(torch):
    found = output("ldd", str(torch / "lib" / "libtorch_python.so"))
    return sorted(set(re.findall(r"^\s*(\S+) => not found", found, re.MULTILINE)))


def wanted_functions(torch, libraries):
    """Undefined symbols of torch's libraries that begin as functions of the missing ones do: cublasLtMatmul for libcublasLt.so.13."""
    prefixes = tuple(re.match(r"lib([A-Za-z]+)", name)[1].removesuffix("Lt").lower() for name in libraries)
    symbols = output("nm", "-D", "--undefined-only", *map(str, sorted((torch / "lib").glob("lib*.so"))))
    names = {line.split()[-1].split("@")[0] for line in symbols.splitlines() if line.strip().startswith("U ")}
    return sorted(name for name in names if name.lower().startswith(prefixes))


def make(torch, folder):
    libraries = missing_libraries(torch)
    if not libraries:
        return
    functions = wanted_functions(torch, libraries)
    aliases = "".join(f'__asm__(".globl {name}\\n.set {name}, thermoe_stand_in");\n' for name in functions)
    source = folder / "stand_in.c"
    source.write_text(SOURCE + aliases)
    first = folder / libraries[0]
    for name in libraries:
        what = source if name == libraries[0] else "/dev/null"
        subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), "-x", "c", str(what)], check=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print("error: expected two arguments, TORCH and FOLDER" + __doc__.partition("\n")[2], file=sys.stderr)
        sys.exit(2)
    target = pathlib.Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    make(pathlib.Path(sys.argv[1]), target)
