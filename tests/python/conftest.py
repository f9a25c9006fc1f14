# SPDX-License-Identifier: Apache-2.0
import os
import pathlib

import pytest


@pytest.fixture
def source_dir() -> pathlib.Path:
    """The repository's root."""
    return pathlib.Path(os.environ["THERMOE_SOURCE_DIR"])
