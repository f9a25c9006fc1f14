# SPDX-License-Identifier: Apache-2.0
"""What `import thermoe` needs, and what it says where something is missing."""
import subprocess
import sys

import pytest

import thermoe


def in_a_fresh_python(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


def test_the_package_is_imported_without_torch_or_numpy():
    done = in_a_fresh_python("import sys, thermoe; print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(AttributeError, match=r"no attribute 'monitr'; it has .*ops"):
        thermoe.monitr


def test_every_public_name_is_there():
    pytest.importorskip("transformers")
    for name in thermoe.__all__:
        assert getattr(thermoe, name) is not None


def test_the_version_is_the_projects(source_dir):
    assert f"project(thermoe VERSION {thermoe.__version__} " in (source_dir / "CMakeLists.txt").read_text()
    assert f'version = "{thermoe.__version__}"' in (source_dir / "python" / "pyproject.toml").read_text()
