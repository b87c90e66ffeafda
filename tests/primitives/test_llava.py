"""A LLaVA of transformers with random weights: its own features, our reducers, streams in between."""

import codeckit
import numpy as np
import pytest
import torch
from codeckit.primitives.tokens import REDUCERS
from codeckit.primitives.tokens.llava import LlavaReader

transformers = pytest.importorskip("transformers")

IMAGE = 40  # the placeholder's number


class Letters:
    """A tokenizer: each letter is a word, and ``*`` the image."""

    def __call__(self, text):
        return {"input_ids": [IMAGE if letter == "*" else ord(letter) % 32 for letter in text]}

    def decode(self, ids, skip_special_tokens=True):
        return "".join(chr(97 + int(n) % 26) for n in ids)


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    vision = transformers.CLIPVisionConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8
    )
    text = transformers.LlamaConfig(
        vocab_size=48, hidden_size=20, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, bos_token_id=1, eos_token_id=47, pad_token_id=0,
    )  # fmt: skip
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_id=IMAGE, image_seq_length=16)
    return LlavaReader(transformers.LlavaForConditionalGeneration(config), Letters())


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)


def test_features_are_the_models_own(reader, image):
    tokens, attention, keys = reader.looks(image)
    assert tokens.grid == (4, 4) and tokens.features.shape == (16, 24)
    assert len(attention) == len(keys) == 2 and attention[-1].shape == (16,) and keys[-1].shape == (16, 24)
    with torch.inference_mode():
        hidden = reader.tower.model(pixel_values=reader.tower._input(image), output_hidden_states=True).hidden_states
    assert np.allclose(tokens.features, hidden[-2][0, 1:].numpy(), atol=1e-6)


def test_all_tokens_give_the_answer_of_the_model_itself(reader, image):
    tokens, *_ = reader.looks(image)
    said = reader.answer(tokens.features, "hello*there", words=6)
    ids = torch.tensor(Letters()("hello" + 16 * "*" + "there")["input_ids"])[None]
    with torch.inference_mode():
        whole = reader.model.generate(
            input_ids=ids, pixel_values=reader.tower._input(image), attention_mask=torch.ones_like(ids),
            max_new_tokens=6, do_sample=False,
        )  # fmt: skip
    assert said == Letters().decode(whole[0, ids.shape[1] :])


def test_fewer_tokens_through_a_stream(reader, image):
    tokens, attention, keys = reader.looks(image)
    reduced = REDUCERS["scope"](tokens.features, tokens.grid, 5, attention[-1], keys[-1])
    coder = codeckit.codec("token-arrays", step=0.05)
    decoded = coder.decode_tokens(coder.encode_tokens(reduced.tokens, (5, 1)))
    assert len(reader.answer(decoded.features, "what*", words=3)) == 3


def test_prompts_and_models_that_do_not_fit(reader):
    with pytest.raises(ValueError, match="placeholder of the image once, not 0 times"):
        reader.answer(np.zeros((3, 24), np.float32), "no picture")
    with pytest.raises(ValueError, match="not 2 times"):
        reader.answer(np.zeros((3, 24), np.float32), "*and*")
    reader.model.config.vision_feature_select_strategy = "full"
    try:
        with pytest.raises(ValueError, match="without its class token"):
            LlavaReader(reader.model, Letters())
    finally:
        reader.model.config.vision_feature_select_strategy = "default"
