#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the Coq proofs of docs/theory.md, and checks what was proven, from which axioms.

    tools/check_proof.py [PROOF_FOLDER [BUILD_FOLDER]]     (default: proof, build/proof)

Each `Definition Name : Prop` of a file *Statement.v is a statement; the theorem `name` must have exactly
that type, and rest on no axiom that axioms.txt does not list. Prints a line for each theorem.
Exit status: 0 all proven, 1 something is not, 2 a wrong argument, or Coq is missing.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("coqc", "coqdep")
REMEDY = ("Coq 8.16 or later is needed; `tools/setup --proof` installs it "
          "(by hand: apt-get install --no-install-recommends coq)")
STATEMENT = re.compile(r"^Definition (\w+)\s*:\s*Prop\b", re.MULTILINE)
# A proof left open, or an axiom, shows in the assumptions of the theorems that use it; here nobody may have one.
FORBIDDEN = re.compile(r"\b(Admitted|admit|give_up|Axioms?|Parameters?|Conjectures?|bypass_check|"
                       r"Unset\s+\w+\s+Checking)\b")
COMMENT = re.compile(r"\(\*.*?\*\)", re.DOTALL)


class ProofError(Exception):
    pass


def coq(program, *arguments, build):
    # In the build folder, as tactics keep caches where they run.
    done = subprocess.run([program, *map(str, arguments)], cwd=build, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProofError(f"{program} fails:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def theorem_of(statement):
    return statement[0].lower() + statement[1:]


def statements(sources):
    """[(name, its file's module)] of what is to be proven."""
    found = [(name, path.stem) for path in sources if path.stem.endswith("Statement")
             for name in STATEMENT.findall(COMMENT.sub("", path.read_text(encoding="utf-8")))]
    if not found:
        raise ProofError("no file *Statement.v has a line 'Definition Name : Prop'")
    return found


def listed_axioms(folder):
    lines = (folder / "axioms.txt").read_text(encoding="utf-8").splitlines()
    return {name for name in (line.split("#")[0].strip() for line in lines) if name}


def refuse_open_proofs(sources):
    for path in sources:
        # Comments keep their line breaks, so that line numbers stay true.
        text = COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), path.read_text(encoding="utf-8"))
        found = FORBIDDEN.search(text)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            raise ProofError(f"{path}:{line}: '{found[0]}': a proof is left open or an axiom is added")


def compile_all(folder, build):
    """Compiles in the order of what needs what; all of it, as it takes seconds."""
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    ordered = coq("coqdep", "-sort", "-Q", folder, "Thermoe", *sorted(folder.glob("*.v")),
                  build=build).split()
    for path in map(Path, ordered):
        coq("coqc", "-q", "-Q", build, "Thermoe", "-o", build / f"{path.stem}.vo", path, build=build)
    return [Path(path).stem for path in ordered]


def assumptions(modules, goals, build):
    """{theorem: its axioms}, as Coq prints them."""
    lines = [f"From Thermoe Require Import {' '.join(modules)}."]
    for statement, module in goals:
        theorem = theorem_of(statement)
        lines += [f'Goal True. idtac "theorem {theorem}". Abort.',
                  f"Definition checked_{theorem} : {module}.{statement} := {theorem}.",
                  f"Print Assumptions checked_{theorem}."]
    script = build / "Assumptions.v"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found, theorem = {}, None
    for line in coq("coqc", "-q", "-Q", build, "Thermoe", script, build=build).splitlines():
        if line.startswith("theorem "):
            theorem = line.split()[1]
            found[theorem] = set()
        elif line not in ("Axioms:", "Closed under the global context") and line[:1].strip():
            found[theorem].add(line.split()[0])  # a name; the lines of its type are indented
    return found


def check(folder, build):
    sources = sorted(folder.glob("*.v"))
    goals = statements(sources)
    refuse_open_proofs(sources)
    allowed = listed_axioms(folder)
    modules = compile_all(folder, build)
    found = assumptions(modules, goals, build)
    if len(found) != len(goals):
        raise ProofError(f"Coq printed the axioms of {len(found)} theorems, there are {len(goals)}")
    for theorem, axioms in found.items():
        foreign = sorted(axioms - allowed)
        if foreign:
            raise ProofError(f"theorem {theorem} rests on {', '.join(foreign)}; "
                             f"{folder / 'axioms.txt'} does not list it")
        print(f"proven: {theorem}")
    print(f"axioms used: {', '.join(sorted(set().union(*found.values()))) or 'none'}")


def main(arguments):
    if len(arguments) > 2 or any(argument.startswith("-") for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0]) if arguments else ROOT / "proof"
    build = Path(arguments[1]) if len(arguments) > 1 else ROOT / "build/proof"
    if not folder.is_dir():
        print(f"check_proof: {folder} is no folder", file=sys.stderr)
        return 2
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        print(f"check_proof: {' and '.join(missing)} not found: {REMEDY}", file=sys.stderr)
        return 2
    try:
        check(folder.resolve(), build.resolve())
    except ProofError as error:
        print(f"check_proof: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
