# SPDX-License-Identifier: Apache-2.0
"""Where the package's shared libraries are."""
import pathlib


def library_path(name: str) -> str:
    """The path of lib<name>.so, which the build puts beside this file. Raises ImportError where it is not."""
    path = pathlib.Path(__file__).parent / f"lib{name}.so"
    if not path.exists():
        raise ImportError(f"{path} does not exist: this package was not built; `pip install ./python` builds it, "
                          "`cmake --build <build folder> --target thermoe_python` in <build folder>/python")
    return str(path)
