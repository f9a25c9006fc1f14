# SPDX-License-Identifier: Apache-2.0
"""vLLM under a target: the plug-in behind the entry point of `vllm.general_plugins` (docs/engines.md)."""
