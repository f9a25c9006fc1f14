# SPDX-License-Identifier: Apache-2.0
"""What prices cost a model in quality, measured in the engine that serves it: `python3 -m thermoe.eval_engine`
(docs/engines.md)."""
