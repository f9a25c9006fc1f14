# SPDX-License-Identifier: Apache-2.0
"""docs/engines.md: what a newcomer copies from "From Python" and "Hugging Face" runs as printed; what is copied from "vLLM" is
taken by what it is given to."""
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from thermoe.engine.settings import read_settings
from thermoe.eval_engine.figures import table


def section(source_dir, title):
    page = (source_dir / "docs" / "engines.md").read_text()
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S).group(1)


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def run(command, source_dir, **more):
    done = subprocess.run(command, cwd=source_dir, capture_output=True, text=True, timeout=200,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("title, shown", [("From Python", "Controller(4 layers x 128 experts"), ("Hugging Face", "")])
def test_the_pages_programs_run_as_printed(source_dir, title, shown):
    found = blocks(section(source_dir, title), "python")
    assert found
    assert shown in run([sys.executable, "-c", "\n".join(found)], source_dir)


def test_the_pages_commands_run_as_printed(source_dir, tmp_path):
    commands = [line for block in blocks(section(source_dir, "Hugging Face"), "") for line in block.splitlines()
                if line.startswith("python3 ")]
    assert len(commands) == 2
    said = []
    for command in commands:  # what they write goes to a folder of the test's own
        words = [str(tmp_path / "e128") if word == "runs/e128" else word for word in shlex.split(command)]
        said.append(run([sys.executable, *words[1:]], source_dir))
    assert "a MixtralForCausalLM of 10,225,344 parameters" in said[0]
    assert "simulated: " in said[1] and "distinct experts a layer" in said[1] and "Measurement(" in said[1]


def test_the_pages_quality_table_is_the_kept_runs(source_dir):
    text = section(source_dir, "What prices cost your model")
    told = json.loads((source_dir / "docs/results/eval_engine_e128.json").read_text())
    assert told["complete"] and told["text_sha256"] == hashlib.sha256((source_dir / told["text"]).read_bytes()).hexdigest()
    command, shown = blocks(text, "")
    assert shown == table(told["plans"]) + "\n"
    words = shlex.split(command)
    assert words[:2] == ["thermoe", "eval-engine"]
    assert [float(price) for price in words[words.index("--price") + 1:]] == [plan["price"] for plan in told["plans"][1:]]
    quick = run([sys.executable, "-m", "thermoe.eval_engine", *words[2:], "--context", "8", "--max-tokens", "1"], source_dir)
    assert quick.splitlines()[0].split() == shown.splitlines()[0].split()


def test_what_the_vllm_section_asks_for_is_taken_by_what_it_is_given_to(source_dir, tmp_path):
    install, stock, ask, capped, look = blocks(section(source_dir, "vLLM"), "")[0].splitlines()
    assert install == "pip install ./python" and (source_dir / "python/pyproject.toml").exists()
    subprocess.run(ask, shell=True, check=True, cwd=tmp_path)
    settings = read_settings(tmp_path / "cap.json")
    assert settings.power_w and f":{settings.config['metrics']['port']}/metrics" in look

    shown = re.search(r"\^thermoe_\((.*)\)", look)[1].split("|")
    served = (source_dir / "docs/metrics.md").read_text()
    assert all(re.search(rf"`thermoe_{name}[`{{,]", served) for name in shown)

    (tmp_path / "vllm.py").write_text("raise SystemExit('the arguments are taken')")
    for command in (stock, capped):
        *variables, program = re.match(r"(?:(\w+)=(\S+) )?python3 (.*)", command).groups()
        assert variables in ([None, None], ["THERMOE_CONFIG", "cap.json"])
        done = subprocess.run([sys.executable, *shlex.split(program)], cwd=source_dir, capture_output=True, text=True, timeout=200,
                              env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"})
        assert (done.returncode, done.stderr.strip()) == (1, "the arguments are taken")
