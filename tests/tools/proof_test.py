# SPDX-License-Identifier: Apache-2.0
"""tools/check_proof.py proves the theorems of proof/, and lets no gap through."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "tools" / "check_proof.py"
PROOF = REPOSITORY / "proof"
needs_coq = unittest.skipUnless(shutil.which("coqc"), "no coqc; tools/setup --proof installs Coq")

STATEMENT = "Definition True_is_true : Prop := True.\n"
HEAD = "From Thermoe Require Import TinyStatement.\n"
PROVEN = HEAD + "Theorem true_is_true : True_is_true.\nProof. exact I. Qed.\n"


def check(*arguments, **environment):
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    return done.returncode, done.stdout, done.stderr


def theorems():
    """Names of all theorems: those of the statements, in lower case at the start."""
    names = [name for path in sorted(PROOF.glob("*Statement.v"))
             for name in re.findall(r"^Definition (\w+) : Prop", path.read_text(encoding="utf-8"), re.MULTILINE)]
    return {name[0].lower() + name[1:] for name in names}


class ProofTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.build = Path(directory.name) / "build"
        self.folder = Path(directory.name) / "proof"

    def check_tiny(self, proof, statement=STATEMENT, axioms=""):
        """Exit status, output and errors for a folder of one statement and one proof."""
        self.folder.mkdir(exist_ok=True)
        for name, text in (("TinyStatement.v", statement), ("Tiny.v", proof), ("axioms.txt", axioms)):
            (self.folder / name).write_text(text, encoding="utf-8")
        return check(self.folder, self.build)

    def assert_refused(self, outcome, *words):
        status, output, errors = outcome
        self.assertEqual(status, 1, output)
        for word in words:
            self.assertIn(word, errors)

    @needs_coq
    def test_every_statement_is_proven_from_the_axioms_of_the_reals(self):
        status, output, errors = check(PROOF, self.build)
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(set(re.findall(r"^proven: (\w+)$", output, re.MULTILINE)), theorems())

    @needs_coq
    def test_a_proof_without_axioms_passes(self):
        self.assertEqual(self.check_tiny(PROVEN), (0, "proven: true_is_true\naxioms used: none\n", ""))

    @needs_coq
    def test_a_proof_left_open_is_refused_even_if_nothing_uses_it(self):
        self.assert_refused(self.check_tiny(PROVEN + "Lemma any : False.\nAdmitted.\n"), "Tiny.v:5: 'Admitted'")

    @needs_coq
    def test_the_word_for_an_open_proof_may_stand_in_a_comment(self):
        self.assertEqual(self.check_tiny(PROVEN + "(* not Admitted *)\n")[0], 0)

    @needs_coq
    def test_an_axiom_of_ones_own_is_refused(self):
        self.assert_refused(self.check_tiny(HEAD + "Axiom true_is_true : True_is_true.\n"), "Tiny.v:2: 'Axiom'")

    @needs_coq
    def test_an_axiom_of_a_library_passes_only_if_it_is_listed(self):
        proof = (HEAD + "From Coq Require Import Classical_Prop.\nTheorem true_is_true : True_is_true.\n"
                 "Proof. destruct (classic True); exact I. Qed.\n")
        self.assert_refused(self.check_tiny(proof), "theorem true_is_true", "Classical_Prop.classic", "axioms.txt")
        self.assertEqual(self.check_tiny(proof, axioms="Classical_Prop.classic  # excluded middle\n")[0], 0)

    @needs_coq
    def test_a_hypothesis_outside_a_section_is_an_axiom_too(self):
        proof = (HEAD + "Hypothesis given : True_is_true.\nTheorem true_is_true : True_is_true.\n"
                 "Proof. exact given. Qed.\n")
        self.assert_refused(self.check_tiny(proof), "given")

    @needs_coq
    def test_another_theorem_of_the_name_is_no_proof(self):
        self.assert_refused(self.check_tiny(HEAD + "Theorem true_is_true : 0 = 0.\nProof. reflexivity. Qed.\n"),
                            "True_is_true")

    @needs_coq
    def test_a_statement_without_a_theorem_is_refused(self):
        self.assert_refused(self.check_tiny(HEAD), "true_is_true")

    @needs_coq
    def test_a_folder_without_statements_is_refused(self):
        self.assert_refused(self.check_tiny(HEAD, statement=""), "Definition Name : Prop")

    def test_without_coq_the_exit_status_is_2_and_says_how_to_get_it(self):
        status, _, errors = check(PROOF, self.build, PATH="/nowhere")
        self.assertEqual(status, 2)
        self.assertIn("coqc", errors)
        self.assertIn("tools/setup --proof", errors)

    def test_a_folder_that_is_not_there_is_a_wrong_argument(self):
        status, _, errors = check(self.folder, self.build)
        self.assertEqual(status, 2)
        self.assertIn("is no folder", errors)

    def test_the_theory_names_each_theorem_and_no_other(self):
        theory = (REPOSITORY / "docs" / "theory.md").read_text(encoding="utf-8")
        named = [name for line in re.findall(r"^\*Proven\*[:,] (.*)$", theory, re.MULTILINE)
                 for name in re.findall(r"`(\w+)`", line)]
        self.assertEqual(set(named), theorems())


if __name__ == "__main__":
    unittest.main()
