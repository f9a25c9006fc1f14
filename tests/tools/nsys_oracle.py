# SPDX-License-Identifier: Apache-2.0
"""What an nsys export says of its kernels, by plain SQL: the oracle of `thermoe parse`.

    tests/tools/nsys_oracle.py FILE.sqlite

Prints one line a record: count, total, min and max ns, op and name. Slow on purpose: a join that can be
read beside docs/parse.md.
"""

import sqlite3
import sys
from pathlib import Path

OWNERS = """
WITH launch AS (
  SELECT k.rowid AS kernel, r.globalTid, r.start, r.end
  FROM CUPTI_ACTIVITY_KIND_KERNEL k JOIN CUPTI_ACTIVITY_KIND_RUNTIME r
    ON r.correlationId = k.correlationId AND (r.globalTid & ~0xFFFFFF) = k.globalPid
   AND r.eventClass IN (0, 1)),
own AS (
  SELECT n.start, COALESCE(n.end, 9223372036854775807) AS end, n.globalTid,
         COALESCE(n.text, (SELECT value FROM StringIds WHERE id = n.textId)) AS text
  FROM NVTX_EVENTS n WHERE n.eventType IN (59, 60) AND {domain}),
owned AS (
  SELECT launch.kernel, own.text,
         ROW_NUMBER() OVER (PARTITION BY launch.kernel ORDER BY own.start DESC, own.end) AS place
  FROM launch JOIN own ON own.globalTid = launch.globalTid
   AND own.start <= launch.start AND own.end >= launch.end)
SELECT kernel, text FROM owned WHERE place = 1
"""

NAMED_DOMAIN = """EXISTS (SELECT 1 FROM NVTX_EVENTS d WHERE d.eventType = 75 AND d.domainId = n.domainId
  AND (d.globalTid & ~0xFFFFFF) = (n.globalTid & ~0xFFFFFF)
  AND COALESCE(d.text, (SELECT value FROM StringIds WHERE id = d.textId)) = 'thermoe')"""


def open_export(path):
    return sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro&immutable=1", uri=True)


def tables(database):
    return {name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def owners(database):
    """The op of each kernel that has one, by rowid."""
    if not {"NVTX_EVENTS", "CUPTI_ACTIVITY_KIND_RUNTIME"} <= tables(database):
        return {}
    named = database.execute(
        "SELECT COUNT(*) FROM NVTX_EVENTS WHERE eventType = 75 AND COALESCE(text, "
        "(SELECT value FROM StringIds WHERE id = textId)) = 'thermoe'").fetchone()[0]
    domain = NAMED_DOMAIN if named else "COALESCE(n.domainId, 0) = 0"
    return dict(database.execute(OWNERS.format(domain=domain)))


def orphans(database):
    kernels = "SELECT COUNT(*) FROM CUPTI_ACTIVITY_KIND_KERNEL k"
    if "CUPTI_ACTIVITY_KIND_RUNTIME" in tables(database):
        kernels += (" WHERE NOT EXISTS (SELECT 1 FROM CUPTI_ACTIVITY_KIND_RUNTIME r WHERE "
                    "r.correlationId = k.correlationId AND r.eventClass IN (0, 1) "
                    "AND (r.globalTid & ~0xFFFFFF) = k.globalPid)")
    return database.execute(kernels).fetchone()[0]


def records(database):
    """{(name, op, grid, block, registers): (count, total, min, max)}"""
    op_of = owners(database)
    found = {}
    for row, name, ns, *shape in database.execute(
            "SELECT k.rowid, s.value, k.end - k.start, gridX, gridY, gridZ, blockX, blockY, blockZ, "
            "registersPerThread FROM CUPTI_ACTIVITY_KIND_KERNEL k "
            "LEFT JOIN StringIds s ON s.id = k.demangledName"):
        key = (name, op_of.get(row), tuple(shape[0:3]), tuple(shape[3:6]), shape[6])
        count, total, least, most = found.get(key, (0, 0, ns, ns))
        found[key] = (count + 1, total + ns, min(least, ns), max(most, ns))
    return found


def main():
    database = open_export(sys.argv[1])
    for key, sums in sorted(records(database).items(), key=lambda item: -item[1][1]):
        print(*sums, key[1] or "-", key[0], sep="\t")
    print(f"{orphans(database)} orphans")


if __name__ == "__main__":
    main()
