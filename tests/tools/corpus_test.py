#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of tools/corpus: python3 -m unittest tests/tools/corpus_test.py (no network needed)."""

import contextlib
import gzip
import io
import json
import os
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/corpus"))

import build_corpus
import compare_compressors
import corpus_format
import corpus_sources
import near_duplicates
import select_text
from corpus_format import CorpusError, Document
from html_text import html_to_sections, html_to_text
from roff_text import roff_to_text

TEXT_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../data/text")


def document(number, domain="prose", size=600, licence="GPL-2.0-only"):
    words = random.Random(number).choices(("to", "measure", "is", "know", "heat\n"), k=size)
    text = "{} {}\n".format(number, " ".join(words)).encode()
    return Document(domain, "package", "file{}".format(number), licence, text)


class HtmlText(unittest.TestCase):
    def test_keeps_words_and_drops_scripts_menus_and_comments(self):
        text = html_to_text(
            "<html><head><title>Title</title><style>p {color: red}</style></head><body>"
            "<div class='navheader'>Prev <div>Up</div> Next</div><!-- note -->"
            "<p>one &lt; <b>two</b>\n  &amp; three</p><script>if (a<b) run();</script>"
            "<p>four<br>five</p></body></html>")
        self.assertEqual(text, "Title\n\none < two & three\n\nfour\nfive\n")

    def test_keeps_the_layout_of_preformatted_text(self):
        text = html_to_text("<h1>T</h1><pre>  a\n    b  c\n</pre><p>x   y</p>")
        self.assertEqual(text, "T\n\n  a\n    b  c\n\nx y\n")

    def test_lists_and_table_cells_are_told_apart(self):
        text = html_to_text("<ul><li>one<li><p>two</p></ul>"
                            "<table><tr><td>a</td><td>b</td></tr></table>")
        self.assertEqual(text, "- one\n- two\n\na\tb\n")

    def test_cuts_at_section_headings(self):
        texts = html_to_sections("<h1>A</h1><p>a</p><h2>B</h2><p>b</p><h2>C</h2><p>c</p>", "h2")
        self.assertEqual(texts, ["A\n\na\n", "B\n\nb\n", "C\n\nc\n"])


class RoffText(unittest.TestCase):
    def test_fills_paragraphs_and_drops_macros_and_comments(self):
        text = roff_to_text('.\\" Copyright\n.TH call 2 2023 "Manual"\n.SH NAME\ncall \\- a call\n'
                            '.PP\nThe\n.BR call ()\nreturns \\fB0\\fP.\n.de XX\njunk\n..\nEnd.\n')
        self.assertEqual(text, "call(2)\n\nNAME\ncall - a call\n\nThe call() returns 0. End.\n")

    def test_keeps_unfilled_lines_and_quoted_arguments(self):
        text = roff_to_text('.nf\n.BI "int call(int " fd ", char *" name );\n  next\n.fi\n')
        self.assertEqual(text, "int call(int fd, char *name);\n  next\n")

    def test_skips_conditional_blocks(self):
        text = roff_to_text(".if t \\{\\\n.tm noise\nnoise\n.\\}\nkept\n")
        self.assertEqual(text, "kept\n")


class Decoding(unittest.TestCase):
    def test_result_is_utf8_without_zero_bytes_or_carriage_returns(self):
        self.assertEqual(corpus_sources.decode(b"a\x00b\r\nc\x1b\xc3\xa9"), "ab\ncé")
        self.assertEqual(corpus_sources.decode(b"caf\xe9"), "café")

    def test_number_tables_and_scraps_make_no_document(self):
        table = "\n".join("0x{:04x}, 0x{:04x},".format(n, n * 7) for n in range(500))
        self.assertEqual(corpus_sources.make("c", "p", "s", table, "l"), [])
        self.assertEqual(corpus_sources.make("c", "p", "s", "short", "l"), [])
        self.assertEqual(len(corpus_sources.make("c", "p", "s", "some words " * 50, "l")), 1)

    def test_states_the_licence_and_notices_of_a_file(self):
        head = "/* SPDX-License-Identifier: GPL-2.0+ */\n/*\n * Copyright (C) 2020 A. Person\n */\n"
        self.assertEqual(corpus_sources.licence_of(head, "none"),
                         ("GPL-2.0+", ("Copyright (C) 2020 A. Person",)))
        self.assertEqual(corpus_sources.licence_of("int x;\n", "none"), ("none", ()))

    def test_dictionary_chunks_hold_whole_entries_and_lose_none(self):
        entries = ["Word{} \\Word\\, n.\n   A meaning of it.\n\n   1. Another.".format(n)
                   for n in range(2000)]
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "usr/share/dictd"))
            with gzip.open(os.path.join(root, "usr/share/dictd/gcide.dict.dz"), "wb") as file:
                file.write("\n\n".join(entries).encode())
            chunks = [d.text.decode() for d in corpus_sources.read_gcide(root)]
        self.assertGreater(len(chunks), 3)
        self.assertTrue(all(chunk.startswith("Word") for chunk in chunks))
        self.assertEqual("\n".join(chunks), "\n\n".join(entries) + "\n")


class Split(unittest.TestCase):
    def test_depends_on_content_and_seed_alone(self):
        documents = [document(n) for n in range(400)]
        side = {d.text: corpus_format.is_held_out(7, d.text) for d in documents}
        for d in reversed(documents):
            self.assertEqual(corpus_format.is_held_out(7, d.text), side[d.text])
        other = [corpus_format.is_held_out(8, d.text) for d in documents]
        self.assertNotEqual(list(side.values()), other)

    def test_holds_out_about_one_document_in_forty(self):
        held_out = sum(corpus_format.is_held_out(7, b"%d" % n) for n in range(8000))
        self.assertTrue(150 <= held_out <= 250, held_out)

    def test_a_known_document_stays_on_its_side(self):
        # Fixed figures: a change of the hash would move training text to the held-out side.
        self.assertEqual(corpus_format.rank("split", 19, b"thermoe"), 11433103106456790846)

    def test_order_of_reading_does_not_change_order_or_choice(self):
        documents = [document(n) for n in range(50)]
        mixed = documents[::-1]
        self.assertEqual(corpus_format.shuffled(documents, 3), corpus_format.shuffled(mixed, 3))
        self.assertEqual(corpus_format.cap_domain(documents, 3, 40_000),
                         corpus_format.cap_domain(mixed, 3, 40_000))

    def test_a_capped_domain_stays_within_its_limit(self):
        kept = corpus_format.cap_domain([document(n) for n in range(50)], 3, 40_000)
        total = sum(len(d.text) for d in kept)
        self.assertTrue(30_000 < total <= 40_000, total)

    def test_identical_texts_are_kept_once(self):
        twin = Document("prose", "package", "a", "l", document(1).text)
        kept = corpus_format.deduplicate([document(1), document(2), twin])
        self.assertEqual(sorted(d.source for d in kept), ["a", "file2"])


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, documents):
        return corpus_format.write_indexed(self.path("heldout.bin"),
                                           self.path("heldout_index.json"), documents)

    def test_index_offsets_are_those_of_the_documents(self):
        documents = [document(n, size=50 + n) for n in range(9)]
        data = self.write(documents)
        read, entries = corpus_format.read_index(self.path("heldout.bin"),
                                                 self.path("heldout_index.json"))
        self.assertEqual(read, data)
        self.assertEqual([data[e["offset"]:e["offset"] + e["length"]] for e in entries],
                         [d.text for d in documents])
        self.assertEqual(data.split(b"\0"), [d.text for d in documents])

    def test_a_document_with_the_separator_is_refused(self):
        bad = Document("prose", "package", "bad", "l", b"a\0b")
        with self.assertRaisesRegex(CorpusError, "package: bad: .*zero byte"):
            corpus_format.join([bad])

    def test_an_index_of_another_text_is_refused(self):
        self.write([document(1)])
        with open(self.path("heldout.bin"), "ab") as file:
            file.write(b"x")
        with self.assertRaisesRegex(CorpusError, "sha256"):
            corpus_format.read_index(self.path("heldout.bin"), self.path("heldout_index.json"))

    def test_a_failed_write_leaves_nothing_behind(self):
        with self.assertRaisesRegex(CorpusError, "cannot be written"):
            corpus_format.write_file(self.path("no/such/folder.bin"), b"x")
        self.assertEqual(os.listdir(self.folder), [])

    def test_the_corpus_has_disjoint_sides_and_true_sums(self):
        domains = {name: [document(n, name) for n in range(start, start + 300)]
                   for name, start in (("prose", 0), ("code", 1000))}
        with contextlib.redirect_stderr(io.StringIO()):
            build_corpus.write_corpus(self.folder, 5, {"package": "1.0"}, domains)
        with open(self.path("corpus.json"), encoding="utf-8") as file:
            described = json.load(file)
        sides = {}
        for name in ("train.bin", "heldout.bin"):
            with open(self.path(name), "rb") as file:
                data = file.read()
            self.assertEqual(described["files"][name]["sha256"], corpus_format.sha256_hex(data))
            sides[name] = set(data.split(b"\0"))
        self.assertFalse(sides["train.bin"] & sides["heldout.bin"])
        self.assertEqual(len(sides["train.bin"] | sides["heldout.bin"]), 600)
        self.assertEqual(sum(side["documents"] for domain in described["domains"].values()
                             for side in domain.values()), 600)

    def test_two_packages_of_one_name_are_an_error(self):
        for version in ("1", "2"):
            open(self.path("git-doc_{}_all.deb".format(version)), "wb").close()
        with self.assertRaisesRegex(CorpusError, "2 files of package git-doc"):
            build_corpus.fetch("git-doc", self.folder)


class Selection(unittest.TestCase):
    def test_is_balanced_and_whole_or_cut_at_a_paragraph(self):
        documents = [document(n, "big") for n in range(40)] + [
            document(n, "small") for n in range(100, 105)]
        chosen, _ = select_text.select(documents, 1, "test", 30_000, 2_000)
        total = {name: sum(len(d.text) for d in chosen if d.domain == name)
                 for name in ("big", "small")}
        self.assertTrue(sum(total.values()) <= 30_000)
        self.assertGreater(total["small"], 8_000)
        self.assertTrue(all(len(d.text) <= 2_000 and d.text.endswith(b"\n") for d in chosen))
        texts = [d.text for d in documents]
        self.assertTrue(all(any(t.startswith(d.text) for t in texts) for d in chosen))

    def test_licences_that_do_not_clearly_allow_it_are_left_out(self):
        for licence in ("GPL-2.0-only", "GPL-2.0+", "GPL-2.0 OR BSD-3-Clause", "PostgreSQL",
                        "GPL-1.0-or-later OR Artistic-1.0-Perl", "Linux-man-pages-copyleft"):
            self.assertTrue(select_text.is_allowed(licence), licence)
        for licence in ("unstated", "GFDL-1.1-no-invariants-or-later", "VERBATIM_PROF", "LGPL-2.1",
                        "BSD-4-Clause-UC", "CC-BY-4.0", "GPL-2.0 AND Proprietary", ""):
            self.assertFalse(select_text.is_allowed(licence), licence)

    def test_compared_parts_are_the_domains_documents(self):
        documents = [document(1, "a"), document(2, "b"), document(3, "a")]
        data = corpus_format.join(documents)
        parts = compare_compressors.parts_of(data, corpus_format.index_of(documents))
        self.assertEqual(parts, {
            "overall": data, "a": documents[0].text + b"\0" + documents[2].text,
            "b": documents[1].text})


def noise(seed, size):
    return bytes(random.Random(seed).choices(range(1, 256), k=size))


class NearDuplicates(unittest.TestCase):
    def covered(self, text, train, length=64):
        return near_duplicates.shared_strings(
            text, near_duplicates.strings_of([train], length), length)[1]

    def test_bytes_are_seen_from_a_string_of_the_whole_length_on(self):
        train = noise(1, 1000)
        self.assertEqual(self.covered(noise(2, 300) + train[100:163] + noise(3, 300), train), 0)
        self.assertEqual(self.covered(noise(2, 300) + train[100:164] + noise(3, 300), train), 64)
        self.assertEqual(self.covered(train[100:200] + noise(2, 9) + train[400:500], train), 200)
        self.assertEqual(self.covered(train[:63], train), 0)

    def test_overlapping_strings_are_counted_once(self):
        self.assertEqual(self.covered(b"=" * 500, b"=" * 80), 500)

    def filtered(self, train, held_out):
        def documents(texts):
            return [Document("prose", "package", "file", "licence", text) for text in texts]
        return [[d.text for d in side] for side in near_duplicates.filter_both_sides(
            documents(train), documents(held_out))]

    def test_a_training_document_that_repeats_a_held_out_one_goes(self):
        held_out, other = noise(1, 1000), noise(2, 1000)
        copy = held_out[:900] + noise(3, 100)
        self.assertEqual(self.filtered([copy, other], [held_out]), [[other], [held_out]])

    def test_a_held_out_document_made_of_parts_of_many_goes(self):
        train = [noise(seed, 10000) for seed in range(5)]
        patchwork = b"".join(text[:500] for text in train)  # 5 % of each, all of this one
        clean = noise(9, 1000)
        self.assertEqual(self.filtered(train, [patchwork, clean]), [train, [clean]])

    def test_what_shares_a_sentence_stays(self):
        sentence = b"This program is free software; you can redistribute it and/or modify it\n"
        train, held_out = [sentence + noise(1, 2000)], [sentence + noise(2, 2000)]
        self.assertEqual(self.filtered(train, held_out), [train, held_out])


class NearDuplicatesTable(unittest.TestCase):
    def test_counts_what_is_seen_and_which_documents_are_clean(self):
        copied, clean = document(1), Document("prose", "p", "s", "l", noise(4, 5000))
        with tempfile.TemporaryDirectory() as folder:
            def path(name):
                return os.path.join(folder, name)
            corpus_format.write_file(path("train.bin"), noise(5, 300) + b"\0" + copied.text)
            corpus_format.write_indexed(path("text.bin"), path("text.json"), [copied, clean])
            with contextlib.redirect_stdout(io.StringIO()) as out:
                code = near_duplicates.main(["--train", path("train.bin"), "--text",
                                             path("text.bin"), "--index", path("text.json")])
        self.assertEqual(code, 0)
        self.assertRegex(out.getvalue(), r"all +8,046 +37.9% +2 +1 +62.1%")


class ShippedText(unittest.TestCase):
    def load(self, name):
        return corpus_format.read_index(os.path.join(TEXT_FOLDER, name + ".bin"),
                                        os.path.join(TEXT_FOLDER, name + ".json"))

    def test_fits_its_index_its_licences_and_its_size(self):
        for name, limit in (("heldout", select_text.HELD_OUT_BYTES),
                            ("calibration", select_text.CALIBRATION_BYTES)):
            data, entries = self.load(name)
            self.assertLessEqual(len(data), limit)
            self.assertEqual(len(data.split(b"\0")), len(entries))
            self.assertEqual(len({entry["domain"] for entry in entries}), 8)
            for entry in entries:
                text = data[entry["offset"]:entry["offset"] + entry["length"]]
                text.decode("utf-8")
                self.assertNotIn(b"\0", text)
                self.assertTrue(select_text.is_allowed(entry["licence"]), entry)

    def test_calibration_and_measured_text_share_no_document(self):
        sources = [{(entry["package"], entry["source"]) for entry in self.load(name)[1]}
                   for name in ("heldout", "calibration")]
        self.assertFalse(sources[0] & sources[1])


if __name__ == "__main__":
    unittest.main()
