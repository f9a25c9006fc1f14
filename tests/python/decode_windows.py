# SPDX-License-Identifier: Apache-2.0
"""The windows of `thermoe eval --no-domains` (src/moe/decode_batches.h), for tests that score the same bytes."""
import json


def first_decode_batch(source_dir, rows, length):
    """Of `--batches 1 --rows ROWS --length LENGTH`: bytes, and from and until which position they count."""
    index = json.loads((source_dir / "data/text/heldout.json").read_text())
    text = (source_dir / "data/text/heldout.bin").read_bytes()
    domains = {}
    for document in index["documents"]:
        domains.setdefault(document["domain"], []).append(text[document["offset"]:][:document["length"]])
    windows = []
    for document in (document for documents in domains.values() for document in documents):
        data = b"\0" + document
        end = len(data)
        while len(data) < length:
            data += data[len(data) - end:][:1]
        scored = 1
        while scored < end:
            begin = min(scored - 1, len(data) - length)
            last = min(begin + length, end)
            windows.append((list(data[begin:begin + length]), scored - begin, last - begin))
            scored = last
    batches = -(-len(windows) // rows)
    return [windows[row * batches % len(windows)] for row in range(rows)]
