"""A LLaVA-style model of transformers between our reducers and streams: its own tower, tokens from anywhere.

::

    picture ─ tower ─ tokens ─[ reduce ─ encode ─ decode ]─ projector ─┐
                                                                       ├─ language model ─ answer
                                        prompt ─ word embedding ───────┘

`LlavaReader.looks` gives the features that the model itself would use, and what reducers need of the tower's attention.
`LlavaReader.answer` takes any number of such tokens, decoded from a stream for example, and lets the language model
answer. The model, its weights and its terms are the user's business::

    from transformers import AutoProcessor, LlavaForConditionalGeneration

    name = "llava-hf/llava-1.5-7b-hf"
    model = LlavaForConditionalGeneration.from_pretrained(name)
    reader = LlavaReader(model, AutoProcessor.from_pretrained(name).tokenizer)
    tokens, attention, keys = reader.looks(image)
    reduced = REDUCERS["scope"](tokens.features, tokens.grid, 64, attention[-1], keys[-1])
    reader.answer(reduced.tokens, "USER: <image>\\nWhat is this? ASSISTANT:")

Source: H. Liu et al., "Visual Instruction Tuning", NeurIPS 2023.
"""

from typing import Any

import numpy as np
import torch

from ..token_grid import Tokens
from .towers import Tower

#: Mean and deviation of pixels in 0 … 1 that CLIP's towers are trained with.
CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class LlavaReader:
    """A model with the parts of transformers' `LlavaForConditionalGeneration`, on a CPU.

    Args:
        model: with ``vision_tower``, ``multi_modal_projector``, ``language_model`` and a configuration that names the
            feature layer; in evaluation mode from now on.
        tokenizer: of its language model; takes a text and gives ``input_ids``, and decodes these.
        name: what `Tokens` call their source.

    Raises:
        ValueError: a model that selects features otherwise than LLaVA does.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str = "llava"):
        self.model, self.tokenizer = model.eval(), tokenizer
        inner, config = getattr(model, "model", model), model.config
        layer, strategy = config.vision_feature_layer, config.vision_feature_select_strategy
        if not isinstance(layer, int) or strategy != "default":
            raise ValueError(f"a LLaVA takes one layer without its class token, not {layer!r}, {strategy!r}")
        self.projector = inner.multi_modal_projector
        self._image = getattr(config, "image_token_id", None) or config.image_token_index  # before version 4.50
        self.tower = Tower(inner.vision_tower, name, mean=CLIP_MEAN, deviation=CLIP_DEVIATION, layer=layer)

    def looks(self, image: np.ndarray) -> tuple[Tokens, list[np.ndarray], list[np.ndarray]]:
        """The tokens that the model reads, and of each block of the tower the class token's attention [N] and the keys
        [N,D]; as `Tower.looks`. The last of them are those of the layer whose features are taken.

        Args:
            image: uint8 [H,W,3] or [H,W].
        """
        tokens, attention, keys = self.tower.looks(image)
        count = self.tower.blocks
        return tokens, attention[:count], keys[:count]

    @torch.inference_mode()
    def answer(self, features: np.ndarray, prompt: str, words: int = 32) -> str:
        """What the language model says, greedily.

        Args:
            features: tokens [K,C], any number of them, in the order in which it shall read them.
            prompt: with the image's placeholder once, as the model's tokenizer has it.
            words: tokens of the answer at most.

        Raises:
            ValueError: the prompt has not one placeholder.
        """
        ids = torch.as_tensor(self.tokenizer(prompt)["input_ids"]).reshape(1, -1)
        holes = (ids[0] == self._image).nonzero().flatten()
        if len(holes) != 1:
            raise ValueError(f"a prompt has the placeholder of the image once, not {len(holes)} times: {prompt!r}")
        embedded = self.model.get_input_embeddings()(ids)
        visual = torch.from_numpy(np.ascontiguousarray(features, np.float32))[None].to(embedded.dtype)
        at = int(holes)
        x = torch.cat([embedded[:, :at], self.projector(visual), embedded[:, at + 1 :]], 1)
        mask = torch.ones(x.shape[:2], dtype=torch.long)
        said = self.model.generate(inputs_embeds=x, attention_mask=mask, max_new_tokens=words, do_sample=False)
        return self.tokenizer.decode(said[0], skip_special_tokens=True)
