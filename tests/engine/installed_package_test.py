# SPDX-License-Identifier: Apache-2.0
"""What `cmake --install build --component engine` leaves, used from a fresh folder as a stranger would: find_package,
the example in C, a program in C++. The build, its library and its compilers are told by the environment (CMakeLists.txt)."""

import ctypes
import json
import os
import re
import subprocess
import tempfile
import unittest
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CAP_W = 280

PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(engine_of_mine LANGUAGES C CXX)
find_package(thermoe {version} REQUIRED)
add_executable(toy_engine {root}/examples/toy_engine.c)
set_property(TARGET toy_engine PROPERTY C_STANDARD 11)
target_link_libraries(toy_engine PRIVATE thermoe::thermoe)
add_executable(in_cpp in_cpp.cpp)
target_link_libraries(in_cpp PRIVATE thermoe::thermoe)
"""

IN_CPP = """
#include <thermoe.h>
#include <cstdio>
int main() {
  thermoe_controller* controller = nullptr;
  if (thermoe_open("{}", &controller) == THERMOE_OK) return 1;
  std::printf("%s: %s\\n", thermoe_version(), thermoe_last_error());
}
"""


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=240, check=False, **options)
    return done.returncode, done.stdout + done.stderr


class InstalledPackage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)
        cls.prefix = cls.folder / "prefix"
        code, said = run("cmake", "--install", os.environ["THERMOE_BUILD"], "--component", "engine", "--prefix",
                         cls.prefix)
        if code != 0:
            raise AssertionError(said)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def configure(self, version):
        project = self.folder / f"project-{version}"
        project.mkdir()
        (project / "CMakeLists.txt").write_text(PROJECT.format(version=version, root=ROOT))
        (project / "in_cpp.cpp").write_text(IN_CPP)
        return project, run("cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}")

    def test_shows_the_functions_of_its_header_and_nothing_else(self):
        code, said = run("nm", "-D", "--defined-only", os.environ["THERMOE_LIBRARY"])
        self.assertEqual(code, 0, said)
        shown = {line.split()[-1].split("@")[0] for line in said.splitlines()}
        header = (self.prefix / "include/thermoe.h").read_text()
        declared = set(re.findall(r"THERMOE_API [\w \*]*?\b(thermoe_\w+)\(", header))
        self.assertEqual(shown, declared)
        self.assertIn("thermoe_acquire", shown)

    def test_needs_neither_torch_nor_cuda(self):
        _, said = run("readelf", "-d", os.environ["THERMOE_LIBRARY"])
        needed = re.findall(r"NEEDED.*\[(.*)\]", said)
        self.assertIn("libc.so.6", needed)
        self.assertEqual([n for n in needed if re.search("torch|c10|cuda|nvidia|spdlog", n)], [])
        self.assertRegex(said, r"SONAME.*\[libthermoe\.so\.0\]")

    def test_a_stranger_builds_the_example_and_it_holds_the_cap(self):
        project, (code, said) = self.configure("0.1")
        self.assertEqual(code, 0, said)
        code, said = run("cmake", "--build", project / "build")
        self.assertEqual(code, 0, said)
        code, said = run(project / "build/in_cpp")
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"^\d+\.\d+\.\d+: configuration: /model")
        code, said = run(project / "build/toy_engine", ROOT / "data", CAP_W)
        self.assertEqual(code, 0, said)
        last = said.splitlines()[-1]
        figures = re.match(r"simulated: ([\d.]+) W as it is, ([\d.]+) W under a cap of 280 W; ([\d.]+) and ([\d.]+) "
                           r"experts a layer; ([\d.]+) nats lost", last)
        self.assertTrue(figures, said)
        plain, capped, experts, fewer, lost = map(float, figures.groups())
        self.assertGreater(plain, 1.1 * CAP_W)
        self.assertLess(capped, 1.01 * CAP_W)
        self.assertGreater(capped, 0.95 * CAP_W)
        self.assertLess(fewer, 0.9 * experts)
        self.assertGreater(lost, 0.0)

    def test_serves_metrics_where_it_is_asked_to(self):
        library = ctypes.CDLL(os.environ["THERMOE_LIBRARY"])
        library.thermoe_last_error.restype = library.thermoe_metrics_url.restype = ctypes.c_char_p
        h100 = ROOT / "data/h100"
        config = {"model": {"layers": 4, "experts": 128, "k": 8}, "targets": {"power_w": CAP_W},
                  "cost_model": str(h100 / "kernel_cost_model.json"), "costed_as": "Qwen3-30B-A3B",
                  "telemetry": {"source": "simulated", "plant": str(h100 / "plant.json"),
                                "cost_model": str(h100 / "plant_cost_model.json")},
                  "metrics": {"port": 0, "model_name": "toy"}, "control": {"thread": False}}
        controller = ctypes.c_void_p()
        self.assertEqual(library.thermoe_open(json.dumps(config).encode(), ctypes.byref(controller)), 0,
                         library.thermoe_last_error())
        self.addCleanup(library.thermoe_close, controller)
        self.assertEqual(library.thermoe_advance(controller, ctypes.c_double(0.3)), 0, library.thermoe_last_error())
        url = library.thermoe_metrics_url(controller).decode()
        self.assertRegex(url, r"^http://127\.0\.0\.1:\d+/metrics$")
        with urllib.request.urlopen(url, timeout=60) as answer:
            page = answer.read().decode()
        for line in [r'thermoe_target\{.*kind="power".*\} 280', r'thermoe_gpu_power_watts\{.*simulated="1"\} 1\d\d',
                     r'thermoe_fallback_active\{.*model_name="toy".*\} 1', r'thermoe_steps_total\{.*engine="0".*\} 0',
                     r'thermoe_source_up\{.*source="simulated".*\} 1']:
            self.assertRegex(page, line)
        self.assertNotIn("thermoe_step_time_seconds{", page, "no step was observed")

    def test_a_version_that_is_not_this_one_is_not_found(self):
        _, (code, said) = self.configure("0.9")
        self.assertNotEqual(code, 0)
        self.assertIn("thermoe", said)
        self.assertIn("0.9", said)


if __name__ == "__main__":
    unittest.main()
