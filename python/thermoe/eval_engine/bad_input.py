# SPDX-License-Identifier: Apache-2.0
"""What the caller can help."""


class BadInput(ValueError):
    """Names the option or the file, its value and what would be right; exit code 2."""
