# SPDX-License-Identifier: Apache-2.0
"""tools/export_router_logits.py on a small Qwen3-MoE with random weights and a byte tokenizer."""

import contextlib
import importlib.util
import io
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "export_router_logits.py"
NEEDED = ("torch", "transformers", "tokenizers", "safetensors")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]

EXPERTS, TOP_K, LAYERS = 16, 4, 3


def run(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)],
                          capture_output=True, text=True, check=False)


class WithoutAModel(unittest.TestCase):
    def test_help_shows_how_to_call_it(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        self.assertIn("thermoe price logits.safetensors", result.stdout)

    def test_a_batch_of_nothing_is_refused(self):
        result = run("model", "--text", "x", "--out", "y", "--batch", "0")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--batch 0", result.stderr)


def load_script():
    spec = importlib.util.spec_from_file_location("export_router_logits", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


export = load_script()


class Bias:
    """As much of a tensor as the script asks of a bias."""

    def __init__(self, *values):
        self.values = values

    def __ne__(self, other):
        return Bias(*(value != other for value in self.values))

    def any(self):
        return any(self.values)


class SoftmaxRouter:
    def forward(self, logits):
        return logits.softmax(-1)


class SigmoidRouter:
    def forward(self, logits):
        return logits.sigmoid()


class PlainGate:
    def forward(self, hidden):
        return hidden


class Block:  # the router hands out logits, the block scores them
    def route_tokens_to_experts(self, logits):
        return logits.sigmoid()


def config(**fields):
    return types.SimpleNamespace(model_type="made-up", **fields)


class Scoring(unittest.TestCase):
    """How a model is told to score, by stand-ins: no torch."""

    def refusal(self, config, *modules):
        with self.assertRaises(SystemExit) as end, \
                contextlib.redirect_stderr(io.StringIO()) as message:
            export.check_scoring(config, list(modules))
        self.assertEqual(end.exception.code, 2)
        return message.getvalue()

    def test_the_configuration_says_it_under_several_names(self):
        for name in ("scoring_func", "score_function", "moe_router_activation_func",
                     "router_score_function", "gating_func"):
            with self.subTest(name):
                self.assertIn(name, self.refusal(config(**{name: "sigmoid"}), SoftmaxRouter()))
                self.assertEqual(export.check_scoring(config(**{name: "softmax"}), []), "softmax")

    def test_fields_about_other_things_are_not_asked(self):
        about_others = config(hidden_act="silu", problem_type="x", router_aux_loss_coef=0.1,
                              router_jitter_noise=0.0, gate_activation="silu")
        self.assertIsNone(export.check_scoring(about_others, [PlainGate()]))

    def test_the_routers_own_attribute_says_it(self):
        router = PlainGate()
        router.scoring_func = "sigmoid"
        self.assertIn("PlainGate: scoring_func", self.refusal(config(), router))

    def test_the_routers_own_code_says_it(self):
        self.assertEqual(export.check_scoring(config(), [SoftmaxRouter()]), "softmax")
        self.assertIn("class SigmoidRouter", self.refusal(config(), SigmoidRouter()))
        self.assertIn("sigmoid", self.refusal(config(), PlainGate(), Block()))

    def test_where_nobody_says_it_nothing_is_claimed(self):
        self.assertIsNone(export.check_scoring(config(), [PlainGate()]))

    def test_a_name_alone_refuses_nobody(self):
        self.assertEqual(export.check_scoring(
            types.SimpleNamespace(model_type="deepseek_v3", scoring_func="softmax"), []), "softmax")

    def test_a_bias_on_the_selection_is_refused_unless_it_is_zero(self):
        router = SoftmaxRouter()
        router.e_score_correction_bias = Bias(0.0, 0.0)
        self.assertEqual(export.check_scoring(config(), [router]), "softmax")
        router.e_score_correction_bias = Bias(0.0, 0.1)
        self.assertIn("e_score_correction_bias", self.refusal(config(), router))

    def test_dense_layers_among_moe_layers_are_skipped(self):
        moe = types.SimpleNamespace(ndim=2, shape=(2, 16))
        nothing = types.SimpleNamespace(ndim=1, shape=(0,))
        self.assertEqual(export.moe_layers((None, moe, nothing, moe)), [moe, moe])


@unittest.skipIf(MISSING, f"not installed here: {', '.join(MISSING)}")
class WithASmallModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import torch
        from tokenizers import ByteLevelBPETokenizer
        from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = pathlib.Path(cls.folder.name)
        cls.text = ROOT / "docs" / "theory.md"
        raw = ByteLevelBPETokenizer()
        raw.train([str(cls.text)], vocab_size=300, show_progress=False)
        PreTrainedTokenizerFast(tokenizer_object=raw._tokenizer).save_pretrained(cls.path / "moe")
        torch.manual_seed(0)
        Qwen3MoeForCausalLM(Qwen3MoeConfig(
            vocab_size=300, hidden_size=64, intermediate_size=64, moe_intermediate_size=32,
            num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
            num_experts=EXPERTS, num_experts_per_tok=TOP_K, mlp_only_layers=[],
            decoder_sparse_step=1)).save_pretrained(cls.path / "moe")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def export(self, *more):
        return run(self.path / "moe", "--text", self.text, "--out", self.path / "out.safetensors",
                   "--batch", 2, "--samples", 3, "--prefix", 8, *more)

    def test_the_file_holds_logits_of_every_layer_and_says_k(self):
        from safetensors import safe_open
        result = self.export()
        self.assertEqual(result.returncode, 0, result.stderr)
        with safe_open(self.path / "out.safetensors", "pt") as file:
            logits = file.get_tensor("router_logits")
            self.assertEqual(file.metadata()["k"], str(TOP_K))
        self.assertEqual(tuple(logits.shape), (3, LAYERS, 2, EXPERTS))
        self.assertLess(logits.min().item(), 0.0)

    def test_each_row_is_the_routers_own_output_for_that_token(self):
        import torch
        from safetensors import safe_open
        from transformers import AutoModelForCausalLM, AutoTokenizer
        self.assertEqual(self.export().returncode, 0)
        tokenizer = AutoTokenizer.from_pretrained(self.path / "moe")
        model = AutoModelForCausalLM.from_pretrained(self.path / "moe").eval()
        length = 8 + 3 * 4
        ids = tokenizer(self.text.read_text(encoding="utf-8"), return_tensors="pt",
                        add_special_tokens=False).input_ids[0][:2 * length].reshape(2, length)
        # The whole sequence at once, no cache: another path to the same logits.
        with torch.inference_mode():
            whole = model(ids, output_router_logits=True).router_logits
        with safe_open(self.path / "out.safetensors", "pt") as file:
            logits = file.get_tensor("router_logits")
        for sample, position in enumerate((8, 12, 16)):
            for layer in range(LAYERS):
                expected = whole[layer].reshape(2, length, EXPERTS)[:, position].float()
                if not bool(((expected >= 0).all() and (expected.sum(-1) - 1).abs().max() < 1e-2)):
                    expected = expected.softmax(-1)
                torch.testing.assert_close(logits[sample, layer].softmax(-1), expected,
                                           rtol=1e-3, atol=1e-5)

    def test_scores_of_the_chosen_experts_only_are_refused(self):
        import torch
        scattered = torch.zeros(4, 16)
        scattered[:, 3:7] = 0.25
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as message:
            export.as_logits(scattered, "made-up")
        self.assertIn("chosen experts", message.getvalue())
        probabilities = torch.randn(4, 16).softmax(-1)
        torch.testing.assert_close(export.as_logits(probabilities, "x").softmax(-1), probabilities)

    def test_a_text_that_is_too_short_says_how_long_it_must_be(self):
        result = self.export("--samples", 100000)
        self.assertEqual(result.returncode, 2)
        self.assertIn("give a longer text", result.stderr)
        self.assertFalse((self.path / "out.safetensors.partial").exists())


if __name__ == "__main__":
    unittest.main()
