# SPDX-License-Identifier: Apache-2.0
"""`--metrics` as users meet it: what curl reads, what promtool says of it, and what a Prometheus that scrapes a monitor
and a run answers when it is asked, by rules and dashboard of deploy/ too.

THERMOE names the program. Without it, or without prometheus and promtool (tools/setup --metrics), tests skip and say so.
"""

import csv
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/thermoe_rules.yml"
DASHBOARD = ROOT / "deploy/grafana/thermoe.json"
THERMOE = pathlib.Path(os.environ.get("THERMOE", ROOT / "build/cpu-release/src/cli/thermoe"))
PATIENCE_S = 120  # of a busy machine
WITHOUT_PROMETHEUS = "no prometheus and promtool here; tools/setup --metrics installs them"
EXPERIMENT = "experiments/trace.json"  # needs no model
MONITOR = ("monitor", "--source", "simulated", "--metrics", "0")


def wait_for(what, found):
    """The first true value of `found()`; fails after PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


def read(url, accept="text/plain"):
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return answer.read().decode("utf-8")


class Program:
    """A `thermoe` that runs until it is ended, with its output in files."""

    def __init__(self, folder, *words):
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen([str(THERMOE), *words], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            cwd=ROOT)

    def url(self):
        def said():
            found = re.search(r"^thermoe: metrics at (\S+)$", self.err.read_text(), re.MULTILINE)
            if not found and self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.err.read_text()}")
            return found and found[1]
        return wait_for("the address on standard error", said)

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()


class WithPrograms(unittest.TestCase):
    def setUp(self):
        if not THERMOE.exists():
            self.skipTest(f"no {THERMOE}: it is not built without LibTorch")
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, *words):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        program = Program(folder, *words)
        self.addCleanup(program.end, signal.SIGKILL)
        return program


class CommandLine(WithPrograms):
    def refusal(self, *words):
        done = subprocess.run([str(THERMOE), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, timeout=PATIENCE_S, cwd=ROOT)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def test_a_port_that_another_thermoe_serves_on_is_refused_and_the_other_goes_on(self):
        first = self.start(*MONITOR)
        url = first.url()
        port = url.rsplit(":", 1)[1].split("/")[0]
        for command in (("monitor", "--source", "simulated"), ("run", EXPERIMENT)):
            self.assertRegex(self.refusal(*command, "--metrics", port),
                             rf"^thermoe: metrics on 127\.0\.0\.1:{port}: .*taken.*, or 0 for any that is free\n$")
        self.assertIn("thermoe_build_info", read(url))

    def test_what_cannot_be_served_is_refused_with_the_flag_and_the_remedy(self):
        self.assertIn("--metrics: ", self.refusal("monitor", "--metrics", "65536"))
        self.assertIn("--metrics-address requires --metrics", self.refusal("monitor", "--metrics-address", "::1"))
        self.assertIn("--once excludes --metrics", self.refusal("monitor", "--once", "--metrics", "0"))
        self.assertIn("thermoe run --metrics", self.refusal("monitor", "--run", "runs/none", "--metrics", "0"))
        self.assertIn("is no IPv4 or IPv6 address",
                      self.refusal(*MONITOR, "--metrics-address", "localhost"))

    def test_nothing_listens_beyond_loopback_unless_it_is_asked_for(self):
        def listens(*words):
            program = self.start(*words)
            port = int(program.url().rsplit(":", 1)[1].split("/")[0])
            lines = (pathlib.Path("/proc/net/tcp").read_text() +
                     pathlib.Path("/proc/net/tcp6").read_text()).splitlines()
            local = [line.split()[1] for line in lines if line.split()[3] == "0A"]
            return [address for address in local if int(address.split(":")[1], 16) == port]
        self.assertEqual([a.split(":")[0] for a in listens(*MONITOR)], ["0100007F"])
        self.assertEqual([a.split(":")[0] for a in listens(*MONITOR, "--metrics-address", "0.0.0.0")], ["00000000"])

    def test_a_signal_ends_a_program_whose_clients_hold_on(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            program = self.start(*MONITOR)
            url = urllib.parse.urlsplit(program.url())
            with socket.create_connection((url.hostname, url.port), PATIENCE_S) as silent, \
                 socket.create_connection((url.hostname, url.port), PATIENCE_S) as half:
                half.sendall(b"GET /metrics HT")
                self.assertIn("thermoe_build_info", read(url.geturl()))
                self.assertEqual(program.end(number), code)
                self.assertEqual(silent.recv(1), b"")

    def test_a_run_that_is_interrupted_while_a_client_is_connected_ends_after_its_tick(self):
        program = self.start("run", EXPERIMENT, "--out", str(self.folder / "run"), "--metrics", "0")
        url = urllib.parse.urlsplit(program.url())
        wait_for("a tick", lambda: "thermoe_tokens_total" in read(url.geturl()))
        with socket.create_connection((url.hostname, url.port), PATIENCE_S) as half:
            half.sendall(b"GET /metrics HT")
            self.assertEqual(program.end(signal.SIGINT), 1)
        self.assertIn("interrupted", program.err.read_text())


@unittest.skipUnless(shutil.which("promtool"), WITHOUT_PROMETHEUS)
class Promtool(WithPrograms):
    def promtool(self, *words, **options):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, timeout=PATIENCE_S,
                              **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_finds_nothing_amiss_with_the_pages_of_a_monitor_and_a_run(self):
        monitor = self.start(*MONITOR)
        run = self.start("run", EXPERIMENT, "--out", str(self.folder / "run"), "--metrics", "0")
        for program, metric in ((monitor, "thermoe_gpu_power_watts"), (run, "thermoe_activation_price")):
            url = program.url()
            page = wait_for(metric, lambda url=url, metric=metric: (lambda p: metric in p and p)(read(url)))
            self.assertEqual(self.promtool("check", "metrics", input=page), "")

    def test_finds_nothing_amiss_with_what_is_shipped(self):
        self.promtool("check", "rules", str(RULES))
        self.promtool("test", "rules", str(RULES.with_name("thermoe_rules_test.yml")))
        self.promtool("check", "config", str(RULES.with_name("prometheus.yml")))


def free_port():
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


class Prometheus:
    """A Prometheus of the test's own, with the shipped rules. Scrapes ports of this machine, four times a second;
    each name of `ports` is the label `node` of its target."""

    def __init__(self, folder, ports):
        self.folder = folder
        shutil.copy(RULES, folder)
        (folder / "prometheus.yml").write_text(json.dumps({  # JSON is YAML
            "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"},
            "rule_files": [RULES.name],
            "scrape_configs": [{"job_name": "thermoe", "static_configs": [
                {"targets": [f"127.0.0.1:{port}"], "labels": {"node": node}} for node, port in ports.items()]}]}))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                 f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text())
        try:
            return read(f"{self.url}/-/ready")
        except (urllib.error.URLError, ConnectionError):
            return None

    def ask(self, path, **parameters):
        answer = json.loads(read(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
        assert answer["status"] == "success", answer
        return answer["data"]

    def samples(self, selector):
        """[(labels, [value])] of all that was scraped or recorded."""
        return [(series["metric"], [float(value) for _, value in series["values"]])
                for series in self.ask("query", query=f"{selector}[1h]")["result"]]

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()


@unittest.skipUnless(shutil.which("prometheus"), WITHOUT_PROMETHEUS)
class Scraped(WithPrograms):
    """A monitor and a run, scraped side by side."""

    def watched(self, **ports):
        folder = self.folder / "prometheus"
        folder.mkdir()
        prometheus = Prometheus(folder, ports)
        self.addCleanup(prometheus.end)
        wait_for("Prometheus", prometheus.ready)
        return prometheus

    def numbers(self, selector):
        """The scraped values of the one series that there is."""
        found = self.prometheus.samples(selector)
        self.assertEqual(len(found), 1, f"{selector}: {found}")
        self.assertTrue(found[0][1])
        return found[0][1]

    def assert_each_near_one(self, values, of, tolerance):
        for value in values:
            nearest = min(of, key=lambda other, value=value: abs(other - value))
            self.assertLessEqual(abs(nearest - value), tolerance * max(1.0, abs(value)))

    def test_what_prometheus_holds_is_what_monitor_and_run_have_written(self):
        monitor = self.start(*MONITOR, "--json", "--period", "100")
        port = free_port()
        self.prometheus = self.watched(monitor=urllib.parse.urlsplit(monitor.url()).port, run=port)
        # It takes up its targets seconds after it calls itself ready, and a run lasts no longer.
        wait_for("its first scrape", lambda: self.prometheus.ask("query", query='up{node="monitor"} == 1')["result"])
        out = self.folder / "run"
        run = self.start("run", EXPERIMENT, "--strategy", "KERNEL_AWARE_TTHA", "--no-report", "--out", str(out),
                         "--metrics", str(port))
        begun = wait_for("joules a token", self.joules_per_token)
        self.assertEqual(run.process.wait(PATIENCE_S), 0, run.err.read_text())
        self.check_dashboard(begun)
        monitor.end()
        self.check_monitor([json.loads(line) for line in monitor.out.read_text().splitlines()])
        with (out / "metrics.csv").open(newline="") as file:
            self.check_run(list(csv.DictReader(file)))

    def joules_per_token(self):
        """The time at which there is some; absent before the first two scrapes of a run's ticks."""
        found = self.prometheus.ask("query", query="thermoe:joules_per_token:rate1m")["result"]
        return found and found[0]["value"][0]

    def check_monitor(self, lines):
        read_by_it = [line["gpus"][0] for line in lines if line.get("gpus")]
        for metric, column in (("thermoe_gpu_power_watts", "power_w"),
                               ("thermoe_gpu_temperature_celsius", "temp_gpu_c"),
                               ("thermoe_gpu_energy_joules_total", "energy_j")):
            told = [gpu[column] for gpu in read_by_it if gpu[column] is not None]
            self.assert_each_near_one(self.numbers(f'{metric}{{node="monitor",simulated="1"}}'), told, 1e-9)
        self.assertEqual(self.prometheus.samples('thermoe_gpu_power_watts{simulated=""}'), [])

    def check_run(self, rows):
        def column(name):
            return [float(row[name]) for row in rows if row[name]]
        tokens = list(itertools.accumulate(column("tokens")))
        self.assert_each_near_one(self.numbers("thermoe_tokens_total"), tokens, 1e-4)
        self.assert_each_near_one(self.numbers("thermoe_activation_price"), column("lambda"), 1e-4)
        self.assert_each_near_one(self.numbers("thermoe_kept_mass_ratio"), column("kept_mass"), 1e-4)
        self.assert_each_near_one(self.numbers('thermoe_active_experts{layer="2"}'), column("active_experts_layer_2"), 0.0)
        self.assert_each_near_one(self.numbers('thermoe_gpu_power_watts{node="run"}'), column("power_average_w"), 1e-4)
        self.assertEqual(set(self.numbers('thermoe_target{kind="power"}')), {300.0})
        labels = self.prometheus.samples("thermoe_activation_price")[0][0]
        self.assertEqual((labels["experiment"], labels["strategy"], labels["simulated"]),
                         ("trace", "KERNEL_AWARE_TTHA", "1"))
        a_token = [w * 0.1 / t for w, t in zip(column("power_true_w"), column("tokens"))]
        for value in self.numbers("thermoe:joules_per_token:rate1m"):
            self.assertTrue(0.9 * min(a_token) < value < 1.1 * max(a_token), (value, min(a_token), max(a_token)))

    def check_dashboard(self, begun):
        """Each query is understood, and answered somewhere in the run but for what is absent here. (At one time a busy
        machine may have missed a scrape.)"""
        absent = {"thermoe:vllm_joules_per_token:rate1m", "kind=\"temperature\"", "kind=\"step_time\"", " == 0)",
                  "to_first_token", "between_tokens", "inter_token", "requests", "batch"}
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$job", ".*").replace("$instance", ".*")
                found = self.prometheus.ask("query_range", query=query, start=begun, end=time.time(), step=0.25)["result"]
                if not any(word in query for word in absent):
                    self.assertTrue(found, f"{panel['title']}: {query}")


class Dashboard(unittest.TestCase):
    """What can be said of it without a Grafana: panels of their own place and id, queries of the chosen data source."""

    def test_panels_have_ids_and_places_of_their_own_within_the_grid(self):
        panels = json.loads(DASHBOARD.read_text())["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = set(itertools.product(range(place["x"], place["x"] + place["w"]),
                                          range(place["y"], place["y"] + place["h"])))
            self.assertLessEqual(place["x"] + place["w"], 24)
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells

    def test_queries_ask_the_data_source_that_is_chosen_and_variables_are_defined(self):
        dashboard = json.loads(DASHBOARD.read_text())
        variables = {variable["name"] for variable in dashboard["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z_]+)", json.dumps(dashboard["panels"])))
        self.assertEqual(used, variables)
        for panel in dashboard["panels"]:
            self.assertEqual(len({t["refId"] for t in panel["targets"]}), len(panel["targets"]), panel["title"])
            for target in panel["targets"]:
                self.assertEqual(target["datasource"], {"type": "prometheus", "uid": "${datasource}"})

    def test_what_is_simulated_is_named_so_in_every_legend(self):
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            for target in panel["targets"]:
                if "source_up" in target["expr"] or "vllm" in target["expr"]:
                    continue  # a count of sources; measured ones alone
                self.assertIn('"note", "simulated", "simulated", "1")', target["expr"])
                self.assertIn("{{note}}", target["legendFormat"], panel["title"])


if __name__ == "__main__":
    unittest.main()
