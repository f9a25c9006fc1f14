# SPDX-License-Identifier: Apache-2.0
"""tools/export_router_logits.py on a small Qwen3-MoE with random weights and a byte tokenizer."""

import importlib.util
import pathlib
import subprocess
import sys
import tempfile
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

    def test_a_text_that_is_too_short_says_how_long_it_must_be(self):
        result = self.export("--samples", 100000)
        self.assertEqual(result.returncode, 2)
        self.assertIn("give a longer text", result.stderr)
        self.assertFalse((self.path / "out.safetensors.partial").exists())


if __name__ == "__main__":
    unittest.main()
