"""The phases of full-size DVC and DCVC: each moves its parts, all of them, and makes its loss smaller."""

import pytest
import torch
from codeckit.codecs.learned_video.full_size import DcvcFull, DvcFull, FrameOutput
from codeckit.training.video_schedules import LAMBDAS, SCHEDULES, Phase, phase_at, set_moving, terms

EVERY = [(kind, phase) for kind, phases in SCHEDULES.items() for phase in phases]
SMALL = {"N": 8, "M": 12, "motion": 16}


@pytest.mark.parametrize(("kind", "phase"), EVERY, ids=[f"{kind.__name__}-{phase.name}" for kind, phase in EVERY])
def test_phases_move_their_parts(kind, phase):
    torch.manual_seed(0)
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 12), size=(72, 72), mode="bicubic").clamp(0, 1)
    x, reference = picture[:, :, 4:68, 4:68], picture[:, :, 4:68, 2:66]
    network = kind(**SMALL)
    set_moving(network, phase)
    before = {name: each.clone() for name, each in network.named_parameters()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0)
    losses = []
    for _ in range(5):
        optimizer.zero_grad(set_to_none=True)
        measured = terms(phase, network(x, reference), x, LAMBDAS[5])
        measured.loss.backward()
        optimizer.step()
        losses.append(measured.loss.item())
    assert min(losses[1:]) < losses[0]
    for name, parameter in network.named_parameters():
        if not phase.moves or name.split(".")[0] in phase.moves:
            assert parameter.grad is not None and parameter.grad.any() and parameter.grad.isfinite().all(), name
            assert not torch.equal(parameter, before[name]), name
        else:
            assert torch.equal(parameter, before[name]), name


def test_one_optimizer_for_all_phases():
    """What has moved before stays as it is in a phase that does not move it, in spite of AdamW's momentum."""
    torch.manual_seed(0)
    network, x = DcvcFull(**SMALL), torch.rand(1, 3, 64, 64)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0)
    flows = []
    for phase in SCHEDULES[DcvcFull][1:4]:
        set_moving(network, phase)
        optimizer.zero_grad(set_to_none=True)
        terms(phase, network(x, x.flip(3)), x, LAMBDAS[5]).loss.backward()
        optimizer.step()
        flows.append(network.motion_encoder[0].weight.detach().clone())
    assert torch.equal(flows[0], flows[1]) and torch.equal(flows[1], flows[2])
    set_moving(network, SCHEDULES[DcvcFull][-1])
    assert all(each.requires_grad for each in network.parameters())


def test_phases_follow_one_another():
    phases = SCHEDULES[DvcFull]
    steps = [phase_at(phases, step, 602).name for step in range(603)]
    assert list(dict.fromkeys(steps)) == [phase.name for phase in phases]
    assert [steps.count(phase.name) for phase in phases] == [2, 20, 20, 60, 501]


@pytest.mark.parametrize("kind", SCHEDULES)
def test_phases_name_what_there_is(kind):
    network, x = kind(**SMALL).eval(), torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        out = network(x, x)
    for phase in SCHEDULES[kind]:
        set_moving(network, phase)
        assert set(phase.rates) <= set(out.bits) and set(phase.predictions) <= set(out.predictions)


def test_terms_are_their_formula():
    x = torch.full((2, 3, 8, 8), 0.5)
    bits = {"motion": torch.tensor([64.0, 128.0]), "latents": torch.tensor([640.0, 0.0])}
    out = FrameOutput(x + 2 / 255, {"motion": x + 3 / 255, "flow": x}, bits)
    phase = Phase("p", 1, rates=("motion",), reconstruction=1.0, predictions={"motion": 0.1})
    loss, bpp, distortion, warped = terms(phase, out, x, weight=0.5)
    assert float(loss) == pytest.approx(0.5 * (4 + 0.1 * 9) + 1.5, rel=1e-4)
    assert [float(each) for each in (bpp, distortion, warped)] == pytest.approx([6.5, 4, 9], rel=1e-4)


def test_published_lambdas():
    assert {quality: round(weight, 4) for quality, weight in LAMBDAS.items()} == {
        3: 0.0039,
        4: 0.0079,
        5: 0.0157,
        6: 0.0315,
    }


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="no error to make smaller"):
        Phase("empty", 1, rates=("motion",))
    with pytest.raises(ValueError, match="DvcFull has no context, which move in the phase wrong"):
        set_moving(DvcFull(**SMALL), Phase("wrong", 1, moves=("flow", "context"), reconstruction=1.0))
