# SPDX-License-Identifier: Apache-2.0
"""SGLang under a target: the plug-in behind the entry point of `sglang.srt.plugins` (docs/engines.md). Not run on a GPU."""
