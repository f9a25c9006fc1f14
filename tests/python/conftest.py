# SPDX-License-Identifier: Apache-2.0
import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def source_dir() -> pathlib.Path:
    """The repository's root."""
    return pathlib.Path(os.environ["THERMOE_SOURCE_DIR"])


@pytest.fixture(scope="session")
def thermoe_program() -> str:
    """The command line of the build that is tested."""
    path = pathlib.Path(os.environ["THERMOE_BINARY_DIR"]) / "src" / "cli" / "thermoe"
    if not path.exists():
        pytest.skip(f"{path} does not exist: the target thermoe is not built")
    return str(path)
