# SPDX-License-Identifier: Apache-2.0
"""`thermoe parse` against independent SQL, on real exports and on generated ones."""

import json
import os
import random
import sqlite3
import subprocess
import tempfile
import unittest
from pathlib import Path

import nsys_oracle

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT.parent / "shared" / "fixtures" / "nsys"  # third-party files beside the repository
THERMOE = os.environ.get("THERMOE", "")

PROCESS = 0x1000001 << 24


def parse(path):
    done = subprocess.run([THERMOE, "parse", str(path), "--json"], capture_output=True, text=True,
                          timeout=120, check=True)
    return json.loads(done.stdout)


def records(parsed):
    def key(kernel):
        return (kernel["name"], kernel["op"], tuple(kernel["grid"]), tuple(kernel["block"]),
                kernel["registers"])
    return {key(k): (k["count"], k["total_ns"], k["min_ns"], k["max_ns"]) for k in parsed["kernels"]}


def write_export(path, seed, domain):
    """A database like nsys's, in which processes, threads, domains and event classes collide."""
    rng = random.Random(seed)
    database = sqlite3.connect(path)
    database.executescript("""
        CREATE TABLE META_DATA_EXPORT (name TEXT NOT NULL, value TEXT);
        CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
        CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL,
          deviceId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER,
          demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL, registersPerThread INTEGER,
          gridX INTEGER, gridY INTEGER, gridZ INTEGER, blockX INTEGER, blockY INTEGER, blockZ INTEGER);
        CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL,
          eventClass INTEGER NOT NULL, globalTid INTEGER, correlationId INTEGER, nameId INTEGER);
        CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL,
          text TEXT, globalTid INTEGER, textId INTEGER, domainId INTEGER);
    """)
    database.executemany("INSERT INTO StringIds VALUES (?, ?)",
                         [(i, f"void kernel_{i}<int>(int)") for i in range(6)]
                         + [(100 + i, f"op {i}") for i in range(5)] + [(200, domain)])
    for process in range(2):
        database.execute("INSERT INTO NVTX_EVENTS VALUES (-1, NULL, 75, NULL, ?, 200, ?)",
                         (PROCESS + (process << 24) + 1, 1 + process))
    correlation = 0
    for process in range(2):
        for thread in range(3):
            tid = PROCESS + (process << 24) + thread
            now, open_ranges = 0, []
            for _ in range(400):
                now += rng.randrange(1, 50)
                action = rng.randrange(4)
                if action == 0 and len(open_ranges) < 5:
                    open_ranges.append((now, rng.randrange(4), rng.randrange(5)))
                elif action == 1 and open_ranges:
                    start, in_domain, name = open_ranges.pop()
                    by_id = rng.random() < 0.5
                    database.execute("INSERT INTO NVTX_EVENTS VALUES (?, ?, ?, ?, ?, ?, ?)",
                                     (start, now, rng.choice((59, 59, 60)),
                                      None if by_id else f"op {name}", tid,
                                      100 + name if by_id else None, in_domain))
                else:
                    correlation += 1
                    number = correlation % 700  # two processes use the same ones
                    if rng.random() < 0.9:
                        database.execute("INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES "
                                         "(?, ?, ?, ?, ?, 1)", (now, now + rng.randrange(20),
                                                                rng.randrange(2), tid, number))
                    if rng.random() < 0.2:
                        database.execute("INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES "
                                         "(?, ?, 67, ?, ?, 1)", (now, now + 1, tid + 1, number))
                    for _ in range(rng.choice((0, 1, 1, 1, 3))):
                        start = now + rng.randrange(1000)
                        database.execute(
                            "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (?, ?, 0, ?, ?, ?, 0, ?, "
                            "?, 1, 1, 128, 1, 1)",
                            (start, start + rng.randrange(5000), number, tid & ~0xFFFFFF,
                             rng.randrange(7), rng.choice((32, 40)), rng.choice((1, 132))))
    # A correlation id is one launch: of those that the generator gave twice, the first stays.
    database.execute("""DELETE FROM CUPTI_ACTIVITY_KIND_RUNTIME WHERE rowid NOT IN (SELECT MIN(rowid)
        FROM CUPTI_ACTIVITY_KIND_RUNTIME GROUP BY correlationId, globalTid & ~0xFFFFFF,
        eventClass = 67)""")
    database.commit()
    database.close()


def write_many(path, kernels):
    """So many kernels with a call and a range each."""
    write_export(path, 0, "thermoe")
    database = sqlite3.connect(path)
    database.executescript("DELETE FROM CUPTI_ACTIVITY_KIND_KERNEL; DELETE FROM NVTX_EVENTS;"
                           "DELETE FROM CUPTI_ACTIVITY_KIND_RUNTIME;")
    count = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {kernels - 1}) "
    database.execute(count + f"INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL SELECT 1000 * i + 50, 1000 * i + 99, "
                     f"0, i, {PROCESS}, i % 6, 0, 32, 132, 1, 1, 128, 1, 1 FROM n")
    database.execute(count + "INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME SELECT 1000 * i + 10, "
                     f"1000 * i + 20, 0, {PROCESS + 1}, i, 1 FROM n")
    database.execute(count + "INSERT INTO NVTX_EVENTS SELECT 1000 * i, 1000 * i + 900, 59, NULL, "
                     f"{PROCESS + 1}, 100 + i % 5, 0 FROM n")
    database.commit()
    database.close()


@unittest.skipUnless(os.path.exists(THERMOE), "no thermoe program in this build")
class AgainstSql(unittest.TestCase):
    def check(self, path):
        parsed = parse(path)
        database = nsys_oracle.open_export(path)
        self.assertEqual(records(parsed), nsys_oracle.records(database))
        self.assertEqual(parsed["orphan_kernels"], nsys_oracle.orphans(database))
        rows = database.execute("SELECT COUNT(*) FROM CUPTI_ACTIVITY_KIND_KERNEL").fetchone()[0]
        self.assertEqual(sum(k["count"] for k in parsed["kernels"]), rows)
        for kernel in parsed["kernels"]:
            self.assertAlmostEqual(kernel["mean_ns"], kernel["total_ns"] / kernel["count"])
            self.assertIsNone(kernel["energy_uj"])
        return parsed

    def test_real_exports_agree(self):
        exports = sorted(FIXTURES.glob("*.sqlite"))
        if not exports:
            self.skipTest(f"no exports in {FIXTURES}")
        for export in exports:
            with self.subTest(export.name):
                self.check(export)

    def test_generated_exports_agree(self):
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(4):
                for domain in ("thermoe", "other"):
                    path = Path(folder) / f"{seed}-{domain}.sqlite"
                    write_export(path, seed, domain)
                    with self.subTest(seed=seed, domain=domain):
                        parsed = self.check(path)
                        self.assertGreater(sum(r["kernels"] for r in parsed["ranges"]), 20)
                        self.assertGreater(parsed["orphan_kernels"], 20)

    def test_memory_grows_by_less_than_a_gib_for_ten_million_kernels(self):
        def most_bytes(kernels, folder):
            path = Path(folder) / f"{kernels}.sqlite"
            write_many(path, kernels)
            child = subprocess.Popen([THERMOE, "parse", str(path), "--json"],
                                     stdout=subprocess.PIPE)
            parsed = json.loads(child.stdout.read())
            child.stdout.close()
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(child.returncode, 0)
            self.assertEqual(sum(k["count"] for k in parsed["kernels"]), kernels)
            self.assertEqual(sum(r["kernels"] for r in parsed["ranges"]), kernels)
            return 1024 * used.ru_maxrss
        with tempfile.TemporaryDirectory() as folder:
            few, many = 1000, 400000
            grown = most_bytes(many, folder) - most_bytes(few, folder)
            self.assertLess(grown / (many - few), 2**30 / 1e7)

    def test_bad_input_ends_with_2_and_names_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bad.sqlite"
            path.write_bytes(b"SQLite format 3\0" + bytes(2000))
            done = subprocess.run([THERMOE, "parse", str(path), "--json"], capture_output=True,
                                  text=True, timeout=60)
            self.assertEqual(done.returncode, 2)
            self.assertIn(str(path), done.stderr)
            self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
