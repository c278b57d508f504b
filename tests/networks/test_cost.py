import pytest
import torch
from torch import nn

from plica.errors import SettingsError
from plica.networks.cost import (
    count_work,
    describe_device,
    prepare_forward,
    prepare_step,
    time_together,
)
from plica.networks.probes import build_probe

PRECURSOR = ((1024, 1, 607.33), (256, 1, 37.96), (256, 3, 37.98), (256, 4, 37.99), (128, 1, 9.49),
             (128, 4, 9.50), (64, 1, 2.37), (64, 16, 2.38))  # fmt: skip


def test_a_convolution_has_a_multiply_add_for_each_weight_at_each_place():
    assert count_work(nn.Conv2d(3, 8, 3, padding=1), (2, 3, 10, 12)).multiply_adds == (
        2 * 10 * 12 * 8 * 3 * 9
    )


def test_a_strided_convolution_in_groups_has_fewer():
    module = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, bias=False)
    assert count_work(module, (1, 4, 16, 16)).multiply_adds == 8 * 8 * 8 * (4 // 2) * 9


def test_a_convolution_in_three_dimensions():
    module = nn.Conv3d(2, 4, (3, 1, 5), padding=(1, 0, 2))
    assert count_work(module, (1, 2, 4, 5, 6)).multiply_adds == 4 * 5 * 6 * 4 * 2 * 15


def test_a_transposed_convolution_spreads_each_value_by_each_weight():
    module = nn.ConvTranspose2d(3, 5, 2, stride=2)
    assert count_work(module, (1, 3, 7, 7)).multiply_adds == 7 * 7 * 3 * 5 * 4


def test_a_linear_layer():
    assert count_work(nn.Linear(20, 7), (3, 20)).multiply_adds == 3 * 20 * 7
    assert count_work(nn.Linear(20, 7), (3, 20)).parameters == 20 * 7 + 7


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


class Fused(nn.Module):
    def forward(self, x):
        return nn.functional.scaled_dot_product_attention(x, x, x)


def test_attention_is_counted_in_inference_too():
    projections, products = 4 * 16 * 16 * 10, 2 * 10 * 10 * 16
    assert count_work(Attention(), (1, 10, 16)).multiply_adds == projections + products
    assert count_work(Fused(), (2, 4, 10, 8)).multiply_adds == 2 * 4 * 2 * 10 * 10 * 8


def test_what_is_no_multiply_add_stands_apart():
    module = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Upsample(scale_factor=2))
    work = count_work(module, (1, 3, 8, 8))
    assert work.multiply_adds == 0
    assert work.elsewhere == 5 * 3 * 64 + 3 * 256 == work.everything


def test_counting_changes_nothing():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    count_work(module, (1, 1, 8, 8))
    assert all(part.training for part in module.modules())
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (1, 1, 1, 1), (1, 1, 8)])
def test_an_input_that_does_not_fit_is_refused(shape):
    with pytest.raises(SettingsError, match="cannot look at"):
        count_work(nn.Conv2d(1, 1, 3), shape)
    with pytest.raises(SettingsError, match="cannot look at"):
        prepare_forward(nn.Conv2d(1, 1, 3), shape)()


class Greedy(nn.Module):
    def forward(self, x):
        return x.new_empty(2**45, *x.shape)


def test_an_input_that_takes_more_memory_than_there_is_is_no_input_that_does_not_fit():
    with pytest.raises(torch.OutOfMemoryError, match="allocate"):
        prepare_forward(Greedy(), (1, 1, 64, 64))()


class Comparing(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(1, 2)

    def forward(self, x):
        y = self.norm(x)
        return y if torch.is_same_size(x, y) else x


def test_what_makes_no_tensor_has_nothing_to_count():
    assert count_work(Comparing(), (1, 2, 4, 4)).elsewhere == 5 * 2 * 16


def test_hrnet_w64_does_what_the_precursor_says():
    pytest.importorskip("timm", reason="timm is not installed")
    with torch.device("meta"):
        probes = {c: build_probe("hrnet-w64", in_channels=c) for c in (1, 3, 4, 16)}
    for size, channels, published in PRECURSOR:
        work = count_work(probes[channels], (1, channels, size, size))
        assert work.multiply_adds / 1e9 == pytest.approx(published, rel=0.01)
        assert work.everything / 1e9 == pytest.approx(published, rel=0.003)
    assert work.parameters > 126e6


def test_works_take_turns_and_the_first_time_does_not_count():
    done = []
    works = {name: (lambda name=name: done.append(name)) for name in "ab"}
    found = time_together(works, repeats=3, tell=lambda name: None)
    assert "".join(done) == "ab" + "ab" + "ba" + "ab"
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": 3, "b": 3}


def test_a_work_over_its_time_is_done_once():
    import time

    found = time_together({"slow": lambda: time.sleep(0.02)}, repeats=9, seconds=0.01)
    assert len(found["slow"]) == 1
    assert found["slow"][0] >= 0.02


def test_nothing_is_timed_no_times():
    with pytest.raises(SettingsError, match="once at least"):
        time_together({}, repeats=0)


def test_a_step_trains_and_a_forward_pass_does_not():
    module = build_probe("small-2d")
    before = module.head.weight.detach().clone()
    prepare_forward(module, (2, 1, 16, 16))()
    assert torch.equal(module.head.weight, before)
    assert module.head.weight.grad is None
    prepare_step(module, (2, 1, 16, 16))()
    assert not torch.equal(module.head.weight, before)


def test_a_device_has_a_name():
    assert describe_device("cpu").startswith("CPU, ")


@pytest.mark.gpu
def test_a_card_finishes_before_its_time_is_read():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    module = build_probe("small-2d")
    small, large = (prepare_forward(module, (n, 1, 512, 512), device="cuda") for n in (1, 16))
    found = time_together({"small": small, "large": large}, repeats=3)
    assert min(found["large"]) > min(found["small"])
