# SPDX-License-Identifier: Apache-2.0
"""The optima that tests/control holds the solver to are those of the script's instances, and Clarabel's.

Clarabel is `pip install clarabel scipy`; without it the second test skips.
"""

import importlib.util
import json
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

spec = importlib.util.spec_from_file_location("clarabel_instances", ROOT / "tools" / "clarabel_instances.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

KEPT = json.loads((ROOT / "tests" / "control" / "clarabel_instances.json").read_text())["instances"]


class ClarabelInstances(unittest.TestCase):
    def test_the_instances_are_the_scripts(self):
        fresh = [json.loads(json.dumps(i)) for i in script.instances()]
        kept = [{key: value for key, value in i.items() if key not in ("optimum", "load")} for i in KEPT]
        self.assertEqual(fresh, kept)

    @unittest.skipIf(script.missing(), script.missing())
    def test_the_optima_are_clarabels(self):
        for instance in KEPT:
            value, load = script.solve(instance)
            rows = instance["layers"] * instance["tokens"]
            self.assertAlmostEqual(value / rows, instance["optimum"] / rows, delta=1e-7, msg=instance["name"])


if __name__ == "__main__":
    unittest.main()
