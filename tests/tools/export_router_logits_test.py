# SPDX-License-Identifier: Apache-2.0
"""tools/export_router_logits.py on small models with random weights and a byte tokenizer: routing
by what the file says, read literally here, must be what the model itself does."""

import contextlib
import importlib.util
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "export_router_logits.py"
NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


def cannot_import():
    """Names that are missing or, as a torch without its CUDA libraries, do not load."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        try:
            import torch  # noqa: F401
        except (ImportError, OSError) as error:
            missing = [f"torch ({error})"]
    return missing


MISSING = cannot_import()
BATCH, SAMPLES, PREFIX, SPACING = 2, 3, 8, 4
LENGTH = PREFIX + SAMPLES * SPACING
TEXT = ROOT / "docs" / "theory.md"


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


def small(name, **fields):
    """A causal model of a transformers architecture: 16 experts, top-4, three MoE layers."""
    import transformers
    config = getattr(transformers, f"{name}Config")(**{
        "vocab_size": 300, "hidden_size": 64, "intermediate_size": 64, "moe_intermediate_size": 32,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "num_experts_per_tok": 4, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, **fields})
    return getattr(transformers, f"{name}ForCausalLM")(config)


def deepseek(**fields):
    return small("DeepseekV3", **{
        "n_routed_experts": 16, "n_group": 4, "topk_group": 2, "q_lora_rank": 32, "kv_lora_rank": 32,
        "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 4,
        "first_k_dense_replace": 1, "num_hidden_layers": 4, "n_shared_experts": 1, "head_dim": 8,
        "norm_topk_prob": True, "routed_scaling_factor": 2.5, **fields})


def glm(**fields):
    return small("Glm4Moe", **{
        "n_routed_experts": 16, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
        "num_hidden_layers": 4, "n_shared_experts": 1, "norm_topk_prob": True,
        "routed_scaling_factor": 1.5, **fields})


def told(**changes):
    return {"k": "4", "score_function": "softmax", "groups": "1", "groups_kept": "1",
            "denominator": "picked", "routed_scale": "1.0", "layers": "3", "experts": "16", **changes}


# Model, what its file must tell, whether it selects by a bias.
MODELS = {
    "Qwen3-MoE": (lambda: small("Qwen3Moe", num_experts=16, norm_topk_prob=True, mlp_only_layers=[]),
                  told(), False),
    "Mixtral": (lambda: small("Mixtral", num_local_experts=8, num_experts_per_tok=2),
                told(k="2", experts="8"), False),
    "OLMoE": (lambda: small("Olmoe", num_experts=16, norm_topk_prob=False), told(denominator="none"),
              False),
    "gpt-oss": (lambda: small("GptOss", num_local_experts=16), told(), False),
    "DeepSeek-V3": (deepseek, told(score_function="sigmoid", groups="4", groups_kept="2",
                                   routed_scale="2.5"), True),
    "DeepSeek-V3, not renormalised":
        (lambda: deepseek(norm_topk_prob=False, routed_scaling_factor=0.7),
         told(score_function="sigmoid", groups="4", groups_kept="2", denominator="none",
              routed_scale="0.7"), True),
    "GLM-4.5": (glm, told(score_function="sigmoid", routed_scale="1.5"), True),
}


def routers_of(model):
    return [module for module in model.modules() if type(module).__name__.lower().endswith("topkrouter")]


def with_decided_routers(model):
    """Gates whose logits differ by about 2, and biases that change picks."""
    import torch
    for router in routers_of(model):
        torch.nn.init.normal_(router.weight, std=0.25)
        for name in ("bias", "e_score_correction_bias"):
            if hasattr(router, name):
                getattr(router, name).data.normal_(std=0.3)
    return model


def save_tokenizer(folder):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast
    raw = ByteLevelBPETokenizer()
    raw.train([str(TEXT)], vocab_size=300, show_progress=False)
    PreTrainedTokenizerFast(tokenizer_object=raw._tokenizer).save_pretrained(folder)


def own_routing(folder):
    """[samples][layer] of (logits, weights, picks) of the streams' tokens, by the model itself on
    the whole sequence at once, without a cache: another path than the script's."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = AutoTokenizer.from_pretrained(folder)(
        TEXT.read_text(encoding="utf-8"), return_tensors="pt", add_special_tokens=False
    ).input_ids[0][:BATCH * LENGTH].reshape(BATCH, LENGTH)
    layers = []
    for router in routers_of(model):
        router.register_forward_hook(lambda _, __, output: layers.append(
            [part.reshape(BATCH, LENGTH, -1).numpy() for part in output]))
    with torch.inference_mode():
        model(ids)
    return [[[part[:, PREFIX + s * SPACING] for part in layer] for layer in layers]
            for s in range(SAMPLES)]


def scores(name, logits):
    import numpy
    if name == "softmax":
        shares = numpy.exp(logits - logits.max())
        return shares / shares.sum()
    return 1.0 / (1.0 + numpy.exp(-logits))


def routed(logits, beta, metadata):
    """{expert: weight} of one token, by a literal reading of the file."""
    p = scores(metadata["score_function"], logits.astype("float64"))
    choice, groups = p + beta, int(metadata["groups"])
    width = len(p) // groups
    by_rank = sorted(range(groups), reverse=True, key=lambda group: sum(
        sorted(choice[group * width:(group + 1) * width])[-2:]))
    allowed = [group * width + i for group in by_rank[:int(metadata["groups_kept"])] for i in range(width)]
    picks = sorted(allowed, key=lambda e: choice[e])[-int(metadata["k"]):]
    total = sum(p[picks]) if metadata["denominator"] == "picked" else 1.0
    return {e: p[e] / total * float(metadata["routed_scale"]) for e in picks}


@unittest.skipIf(MISSING, f"cannot be imported here: {', '.join(MISSING)}")
class WithSmallModels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import torch
        import transformers
        torch.set_num_threads(1)  # more cost more than they save on models so small
        transformers.utils.logging.disable_progress_bar()

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.path = pathlib.Path(holder.name)

    def save(self, model):
        save_tokenizer(self.path / "moe")
        model.save_pretrained(self.path / "moe")

    def export(self, *more):
        """Tensors and metadata of the file, or what was said instead."""
        from safetensors import safe_open
        arguments = [self.path / "moe", "--text", TEXT, "--out", self.path / "out.safetensors",
                     "--batch", BATCH, "--samples", SAMPLES, "--prefix", PREFIX, "--device", "cpu", *more]
        said = io.StringIO()
        with mock.patch.object(sys, "argv", ["export", *map(str, arguments)]), \
                contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            try:
                export.main()
            except SystemExit as end:
                self.assertEqual(end.code, 2)
                self.assertEqual([path.name for path in self.path.iterdir()], ["moe"])
                return said.getvalue()
        with safe_open(self.path / "out.safetensors", "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()

    def test_the_file_read_literally_routes_as_the_model_does(self):
        import numpy
        import torch
        for name, (build, expected, biased) in MODELS.items():
            with self.subTest(name):
                torch.manual_seed(0)
                self.save(with_decided_routers(build()))
                tensors, metadata = self.export()
                self.assertEqual({key: metadata[key] for key in expected}, expected)
                self.assertEqual("selection_bias" in tensors, biased)
                logits = tensors["router_logits"]
                experts = int(expected["experts"])
                self.assertEqual(logits.shape, (SAMPLES, 3, BATCH, experts))
                bias = tensors.get("selection_bias", numpy.zeros((3, experts)))
                for s, sample in enumerate(own_routing(self.path / "moe")):
                    for layer, (_, weights, picks) in enumerate(sample):
                        for token in range(BATCH):
                            found = routed(logits[s, layer, token], bias[layer], metadata)
                            own = dict(zip(picks[token].tolist(), weights[token].tolist()))
                            self.assertEqual(set(found), set(own))
                            for expert, weight in own.items():
                                self.assertAlmostEqual(found[expert], weight, places=4)
                            if biased and s == layer == token == 0:
                                self.check_that_bias_and_groups_matter(logits, bias, metadata)

    def check_that_bias_and_groups_matter(self, logits, bias, metadata):
        """A reading without them would not have passed."""
        rows = [(logits[s, layer, t], bias[layer]) for s in range(SAMPLES) for layer in range(3)
                for t in range(BATCH)]
        self.assertTrue(any(routed(x, b, metadata).keys() != routed(x, 0 * b, metadata).keys()
                            for x, b in rows))
        if metadata["groups"] != "1":
            free = {**metadata, "groups": "1", "groups_kept": "1"}
            self.assertTrue(any(routed(x, b, metadata).keys() != routed(x, b, free).keys()
                                for x, b in rows))

    def test_half_precision_tells_the_same_router(self):
        import torch
        for name in ("Qwen3-MoE", "gpt-oss", "DeepSeek-V3"):
            with self.subTest(name):
                build, expected, biased = MODELS[name]
                torch.manual_seed(0)
                self.save(with_decided_routers(build()).to(torch.bfloat16))
                tensors, metadata = self.export()
                self.assertEqual({key: metadata[key] for key in expected}, expected)
                self.assertEqual("selection_bias" in tensors, biased)

    def test_a_bias_of_zeros_is_none(self):
        import torch
        torch.manual_seed(0)
        self.save(glm())
        tensors, metadata = self.export()
        self.assertNotIn("selection_bias", tensors)
        self.assertEqual(metadata["score_function"], "sigmoid")

    def test_a_router_of_another_kind_is_refused_and_nothing_is_written(self):
        import torch
        import transformers
        torch.manual_seed(0)
        self.save(with_decided_routers(small("Qwen3Moe", num_experts=16, mlp_only_layers=[])))
        router = transformers.models.qwen3_moe.modeling_qwen3_moe.Qwen3MoeTopKRouter
        forward = router.forward

        def hashed(self, hidden):
            logits, weights, picks = forward(self, hidden)
            return logits, weights, (picks + 1) % 16

        with mock.patch.object(router, "forward", hashed):
            self.assertIn("qwen3_moe: no router that thermoe knows does what this one does", self.export())

    def test_a_dense_model_is_refused(self):
        self.save(small("Qwen3"))
        self.assertIn("qwen3: none of its modules returns router logits", self.export())

    def test_probabilities_under_the_name_of_logits_become_their_logarithm(self):
        import torch
        probabilities = torch.randn(4, 16).softmax(-1)
        torch.testing.assert_close(export.as_logits(probabilities).softmax(-1), probabilities)
        logits = torch.randn(4, 16)
        self.assertIs(export.as_logits(logits), logits)

    def test_a_routing_is_known_in_any_order(self):
        import torch
        logits, weights, picks = torch.randn(5, 16), torch.rand(5, 4), torch.randint(16, (5, 4))
        for order in ((logits, weights, picks), (picks, weights, logits)):
            self.assertIs(export.routing_of(order)[0], logits)
        for other in (logits, (logits, weights), (logits, weights, weights), (logits[:3], weights, picks)):
            self.assertIsNone(export.routing_of(other))

    def test_a_text_that_is_too_short_says_how_long_it_must_be(self):
        self.save(small("Qwen3"))
        self.assertIn("give a longer text", self.export("--samples", 100000))


if __name__ == "__main__":
    unittest.main()
