# SPDX-License-Identifier: Apache-2.0
"""tools/check_includes.py finds forbidden includes and lets the allowed ones through."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "tools" / "check_includes.py"


class CheckIncludesTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)

    def check(self, path, *lines):
        """Exit status and output of the checker on a repository of one file, src/<path>."""
        source = self.root / "src" / path
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = subprocess.run([sys.executable, SCRIPT, self.root], capture_output=True, text=True)
        return done.returncode, done.stdout

    def assert_allowed(self, path, line):
        self.assertEqual(self.check(path, line), (0, ""))

    def assert_forbidden(self, path, line, *words):
        status, output = self.check(path, "// first line", line)
        self.assertEqual(status, 1)
        self.assertIn(f"src/{path}:2: ", output)
        for word in words:
            self.assertIn(word, output)

    def test_a_folder_may_include_itself_and_what_the_table_allows(self):
        self.assert_allowed("control/dual.cpp", '#include "control/dual.h"')
        self.assert_allowed("control/dual.cpp", '#include "cost/kernel_cost_model.h"')
        self.assert_allowed("run/loop.cpp", '#include "telemetry/monitor.h"')
        self.assert_allowed("cli/main.cpp", '#include "profile/parser.h"')

    def test_core_may_include_no_other_folder(self):
        self.assert_forbidden("core/units.h", '#include "cost/curve.h"', "no other folder")

    def test_control_cannot_see_kernels_and_moe_cannot_see_telemetry(self):
        self.assert_forbidden("control/dual.cpp", '#include "kernels/topk_route.h"', "core, cost")
        self.assert_forbidden("moe/layer.cpp", '#include "telemetry/monitor.h"', "core, kernels")

    def test_the_ops_of_the_python_package_see_kernels_and_no_torch(self):
        ops = self.root / "python" / "csrc"
        ops.mkdir(parents=True)
        for name, line, word in (("op.cpp", '#include "kernels/topk_route.h"', None), ("op.cpp", '#include "tensor.h"', None),
                                 ("torch_abi_check.cpp", "#include <torch/csrc/stable/c/shim.h>", None),
                                 ("op.cpp", "#include <torch/csrc/stable/library.h>", "only torch_abi_check.cpp may"),
                                 ("op.cpp", '#include "control/dual.h"', "may include core, kernels")):
            (ops / name).write_text(f"// first line\n{line}\n", encoding="utf-8")
            status, output = self.check("core/units.h", "#include <cstdint>")
            self.assertEqual(status, 1 if word else 0, output)
            self.assertIn(f"python/csrc/{name}:2: " if word else "", output)
            self.assertIn(word or "", output)

    def test_run_cannot_see_profile(self):
        self.assert_forbidden("run/loop.cpp", '#include "profile/parser.h"')

    def test_machines_subfolders_have_an_order(self):
        self.assert_allowed("kernels/backend.cpp", '#include "kernels/cpu/backends.h"')
        self.assert_allowed("machine/gpu/gpu_machine.h", '#include "machine/machine.h"')
        self.assert_allowed("machine/gpu/gpu_machine.h", '#include "machine/tenant/tenant.h"')
        self.assert_allowed("machine/gpu/gpu_machine.h", '#include "machine/gpu/step_load.h"')
        self.assert_forbidden("machine/gpu/gpu_machine.h", '#include "machine/simulated/simulated_gpu.h"',
                              "machine/gpu/ may include tenant")
        self.assert_forbidden("machine/simulated/x.h", '#include "machine/gpu/step_load.h"', "no other subfolder")
        self.assert_forbidden("machine/machine.h", '#include "machine/gpu/step_load.h"', "no other subfolder")

    def test_moe_cannot_see_control(self):
        self.assert_forbidden("moe/adaptive_router.h", '#include "control/controller.h"')

    def test_monitor_may_include_the_columns_of_a_run_and_nothing_else_of_report(self):
        self.assert_allowed("monitor/run_tail.cpp", '#include "report/metrics_columns.h"')
        self.assert_forbidden("monitor/run_tail.cpp", '#include "report/summary.h"')

    def test_libtorch_stays_in_moe_cli_and_the_adapter(self):
        self.assert_allowed("moe/layer.h", "#include <torch/torch.h>")
        self.assert_allowed("control/ttha_adapter.cpp", "#include <torch/torch.h>")
        self.assert_allowed("control/cosine_restarts.h", "#include <ATen/ATen.h>")
        self.assert_forbidden("control/dual.cpp", "#include <torch/torch.h>", "LibTorch")
        self.assert_forbidden("kernels/cpu.cpp", '#include "ATen/ATen.h"', "LibTorch")

    def test_angle_brackets_and_spaces_hide_nothing(self):
        self.assert_forbidden("report/csv.cpp", "#  include <run/loop.h>")

    def test_a_header_is_named_from_the_source_root(self):
        self.assert_forbidden("core/plan.cpp", '#include "plan.h"', '"core/plan.h"')
        self.assert_forbidden("cost/model.cpp", '#include "../run/loop.h"', "path from src/")

    def test_a_folder_that_the_table_does_not_know_is_reported(self):
        status, output = self.check("utils/strings.h", "#include <string>")
        self.assertEqual(status, 1)
        self.assertIn("no known folder", output)

    def test_a_place_without_sources_is_bad_input(self):
        done = subprocess.run([sys.executable, SCRIPT, self.root], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("src/", done.stderr)

    def test_this_repository_keeps_its_own_rules(self):
        done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""))


if __name__ == "__main__":
    unittest.main()
