# SPDX-License-Identifier: Apache-2.0
"""What every engine's plug-in is made of: settings, controllers, what a step is ordered and what it was, buffers that captured
graphs hold. Nothing here knows an engine; vllm/ and sglang/ do."""
