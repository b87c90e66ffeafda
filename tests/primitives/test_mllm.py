"""The language model over visual tokens: one pass for all questions is one for each; rules inside; its weight file."""

import numpy as np
import pytest
import torch
from codeckit.primitives.tokens.mllm import LanguageModel, LanguageSize, Mllm, flops, read_mllm, texts, write_mllm
from codeckit.primitives.tokens.pruning import Dart, FastV, PDrop
from codeckit.primitives.tokens.vit import VitSize

SIZE = LanguageSize(words=12, before=5, after=3, visual=8, channels=12, heads=3, layers=4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = LanguageModel(SIZE).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))  # initial weights hardly mix anything
    return made


@pytest.fixture(scope="module")
def visual():
    return torch.randn(2, 20, 8, generator=torch.Generator().manual_seed(1))


def test_questions_do_not_see_each_other(model, visual):
    first, second = [([5, 9, 2], [3, 4]), ([4, 2], [])], [([7, 8, 9, 2], [1]), ([2], [6])]
    together = model(visual, texts([first, second]))
    for b, questions in enumerate((first, second)):
        start = 0
        for question in questions:
            alone = model(visual[b : b + 1], texts([[question]]))
            length = alone.shape[1]
            assert torch.allclose(together[b, start : start + length], alone[0], atol=1e-5)
            start += length


def test_words_see_what_is_before_them_and_all_of_the_picture(model, visual):
    asked = texts([[([5, 9, 2], [3])]])
    logits = model(visual[:1], asked)
    later = model(visual[:1], texts([[([5, 9, 2], [7])]]))
    assert torch.equal(logits[:, :3], later[:, :3]) and not torch.allclose(logits[:, 3], later[:, 3])
    changed = visual[:1].clone()
    changed[0, 19, 0] += 3
    assert (model(changed, asked) - logits).abs().amax(2).min() > 1e-4


def test_answers_go_on_word_by_word(model, visual):
    questions = [[[5, 9, 2], [4, 2]], [[7, 8, 9, 2]]]
    answers = model.answer(visual, questions, [[3, 1], [2]])
    assert [[len(answer) for answer in picture] for picture in answers] == [[3, 1], [2]]
    for b, picture in enumerate(questions):
        for question, answer in zip(picture, answers[b], strict=True):
            for n, word in enumerate(answer):
                logits = model(visual[b : b + 1], texts([[(question, answer[:n])]]))
                assert logits[0, -1].argmax() == word


@pytest.mark.parametrize("rule", [FastV(20), PDrop(20, 20, 4), Dart(20), lambda inside: None])
def test_rules_that_keep_everything_change_nothing(model, visual, rule):
    asked = texts([[([5, 9, 2], [])], [([4, 8, 2], [])]])
    assert torch.allclose(model(visual, asked, rule), model(visual, asked), atol=1e-5)


def test_rules_drop_what_they_say(model, visual):
    asked = texts([[([5, 9, 2], [])], [([4, 8, 2], [])]])
    seen = []

    def spy(rule):
        def spied(inside):
            seen.append(inside.kept.shape[1])
            stay = rule(inside)
            if stay is not None:
                assert (stay.diff(dim=1) > 0).all()
            return stay

        return spied

    for rule in (FastV(6), PDrop(5, 20, 4), Dart(9)):
        seen.clear()
        model(visual, asked, spy(rule))
        assert seen == rule.left(20, SIZE.layers)


def test_fastv_keeps_what_the_last_word_attends_to(model, visual):
    asked = texts([[([5, 9, 2], [])]])
    caught = []

    def rule(inside):
        if inside.layer == 2:
            q, k, _ = inside.block.attention.split(inside.block.norm1(inside.before))
            scores = (q[0, :, -1:] @ k[0].transpose(1, 2)) / q.shape[3] ** 0.5
            weights = scores.softmax(2).mean(0)[0, :20]
            caught.append(weights)
            assert torch.allclose(inside.attention[0], weights, atol=1e-6)
            assert inside.keys.shape == (1, 23, SIZE.channels)
        return FastV(7)(inside)

    model(visual[:1], asked, rule)
    assert len(caught) == 1
    stay = FastV(7)
    kept = []
    model(visual[:1], asked, lambda inside: kept.append(stay(inside)) or kept[-1])
    assert set(kept[1][0].tolist()) == set(caught[0].topk(7).indices.tolist())


def test_multiplications_count_what_is_left():
    full, fast = flops(SIZE, [20] * 4, 5), flops(SIZE, FastV(5).left(20, 4), 5)
    assert fast == pytest.approx(full / 2 + flops(SIZE, [5] * 2, 5))


def test_weights_on_disk(tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch")
    import json
    from dataclasses import asdict

    tower = VitSize(grid=4, channels=8, heads=2, tower=2, reader=0)
    network = Mllm(tower, SIZE)
    words = ["", *"abcdefghijk"]
    said = {
        "tower": json.dumps(asdict(tower)), "language": json.dumps(asdict(SIZE)),
        "words": json.dumps(words), "battery": json.dumps([["a", "b"], ["c"]]),
    }  # fmt: skip
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    write_mllm(tmp_path / "a.safetensors", said, tensors)
    backbone = read_mllm(tmp_path / "a.safetensors")
    assert backbone.side == 64 and backbone.words == tuple(words)
    tokens, attention, keys = backbone.looks(np.zeros((50, 70, 3), np.uint8), 2)
    assert tokens.features.shape == (16, 8) and len(attention) == len(keys) == 2
    (answers,) = backbone.answers(tokens.features[None], [[("a", "b"), ("c",)]], [[1, 3]])
    assert [len(answer) for answer in answers] == [1, 3] and set(answers[1]) <= set(words)
    ((one, three),) = backbone.likelihoods(tokens.features[None], [[("a", "b"), ("c",)]], [answers])
    assert one[0] <= 0 and 0 <= one[1] <= np.log2(12) and three[0] < 0
    logits = backbone.network.language(torch.from_numpy(tokens.features)[None], texts([[([1, 2], [])]]))
    assert one[0] == pytest.approx(float(logits[0, -1].log_softmax(0).max() / np.log(2)), abs=1e-4)
    with pytest.raises(ValueError, match="does not know the word 'dog'"):
        backbone.answers(tokens.features[None], [[("dog",)]], [[1]])
    maps = torch.from_numpy(tokens.map.transpose(2, 0, 1)[None].copy()).requires_grad_(True)
    logits = backbone.read(maps, 2)
    assert logits.shape == (2, 12)  # one row for each question of the battery
    logits.sum().backward()
    assert maps.grad.abs().max() > 0
    data = bytearray((tmp_path / "a.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "b.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        read_mllm(tmp_path / "b.safetensors")
