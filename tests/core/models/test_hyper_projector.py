"""A projector written by a hypernetwork. Legend: V = rows, S = support pairs, D, E = widths, r = rank."""

import pytest
import torch
import torch.nn.functional as F

from core.errors import ConfigError
from core.models import LowRank, Projector, ProjectorHypernet, averaged, random_rotation

D, E, T = 6, 5, 4


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def vectors(rows, width, seed):
    return torch.randn(rows, width, generator=generator(seed))


def make(**kwargs):
    torch.manual_seed(0)
    projector = Projector(width=D, dim=E).eval()
    hypernet = ProjectorHypernet(**{"width": D, "dim": E, "text_width": T, "rank": 2, "most": 8} | kwargs).eval()
    return projector, hypernet


def talkative(hypernet):
    """With maps that are not zero, as after training."""
    torch.manual_seed(1)
    for layer in hypernet.generators:
        torch.nn.init.normal_(layer.weight, std=0.3)
        torch.nn.init.normal_(layer.bias, std=0.3)
    return hypernet


def test_the_projector_is_two_layers_of_unit_vectors():
    projector, _ = make()
    x = vectors(3, D, 0)
    first, second = projector.net[0], projector.net[3]
    expected = second(F.gelu(first(x / x.norm(dim=1, keepdim=True)), approximate="tanh"))
    torch.testing.assert_close(projector(x), expected)
    torch.testing.assert_close(projector(7 * x), expected)


def test_a_fresh_hypernetwork_changes_nothing():
    projector, hypernet = make()
    changes = hypernet(vectors(4, D, 1), vectors(4, T, 2))
    x = vectors(3, D, 0)
    torch.testing.assert_close(projector(x, changes), projector(x), rtol=0, atol=0)
    assert all(change.down.abs().sum() > 0 for change in changes)  # but it has a gradient to begin with


def test_merged_weights_and_changes_on_the_way_are_the_same_in_both_layers():
    projector, hypernet = make()
    changes = talkative(hypernet)(vectors(4, D, 1), vectors(4, T, 2))
    x = vectors(3, D, 0)
    merged = projector.merged([changes])
    torch.testing.assert_close(merged(x), projector(x, changes), rtol=1e-6, atol=1e-6)
    for layer, own, change in zip(merged.linears, projector.linears, changes):
        torch.testing.assert_close(layer.weight, own.weight + (change.down @ change.up).T)
        torch.testing.assert_close(layer.bias, own.bias + change.shift)
    assert not torch.allclose(projector(x, changes), projector(x))


def test_merging_averages_products_and_the_released_way_factors():
    """Of down = up = 1 and down = up = -1 the products' mean is 1, the factors' means give 0."""
    one, minus = torch.ones(1, 1), -torch.ones(1, 1)
    projector = Projector(width=1, dim=1)
    pair = [[LowRank(v, v, torch.zeros(1))] * 2 for v in (one, minus)]
    merged = projector.merged(pair)
    for layer, own in zip(merged.linears, projector.linears):
        torch.testing.assert_close(layer.weight, own.weight + 1)
    assert all(change.down.item() == change.up.item() == 0 for change in averaged(pair))
    same = averaged([pair[0], pair[0]])
    assert all(torch.equal(a.down, b.down) and torch.equal(a.up, b.up) for a, b in zip(same, pair[0]))
    torch.testing.assert_close(projector.merged([pair[0]] * 3).net[0].weight, projector.merged([pair[0]]).net[0].weight)


def test_the_attention_is_one_head_over_prefixes_items_and_texts():
    _, hypernet = make(alpha=3.0)
    item, text = vectors(3, D, 1), vectors(3, T, 2)
    talkative(hypernet)
    changes = hypernet(item, text)
    c = hypernet.context
    rows = [*hypernet.prefix_tokens]
    for a, b in zip(item, text):
        rows += [F.pad(a / a.norm(), (0, c - D)), F.pad(b / b.norm(), (0, c - T))]
    x = torch.stack(rows)
    place = torch.arange(len(x))[:, None] / 10000 ** (torch.arange(c // 2) / (c // 2))
    x = x + torch.cat([place.sin(), place.cos()], dim=1) / c**0.5
    weight = (
        (x @ hypernet.q.weight.T + hypernet.q.bias) @ (x @ hypernet.k.weight.T + hypernet.k.bias).T / c**0.5
    ).softmax(1)
    out = weight @ (x @ hypernet.v.weight.T + hypernet.v.bias)
    for layer, (a, b) in enumerate(((D, E), (E, E))):
        flat = hypernet.generators[layer](out[layer])
        torch.testing.assert_close(changes[layer].down, flat[: a * 2].view(a, 2), rtol=1e-5, atol=1e-6)
        expected = (flat[: a * 2].view(a, 2) @ flat[a * 2 : a * 2 + 2 * b].view(2, b)) * 3 / 2  # alpha / rank
        torch.testing.assert_close(changes[layer].down @ changes[layer].up, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(changes[layer].shift, flat[-b:] * 3 / 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("positions", [True, False])
def test_the_order_of_pairs_matters_by_positions_alone(positions):
    _, hypernet = make(positions=positions)
    talkative(hypernet)
    item, text = vectors(5, D, 1), vectors(5, T, 2)
    order = torch.tensor([3, 0, 4, 1, 2])
    a, b = hypernet(item, text)[0], hypernet(item[order], text[order])[0]
    assert torch.allclose(a.down, b.down, atol=1e-6) is not positions


def test_padding_of_the_support_changes_nothing():
    _, hypernet = make()
    talkative(hypernet)
    item, text = vectors(5, D, 1), vectors(5, T, 2)
    mask = torch.tensor([True, True, True, False, False])
    short, padded = hypernet(item[:3], text[:3]), hypernet(item, text, mask)
    for a, b in zip(short, padded):
        torch.testing.assert_close(a.up, b.up)
        torch.testing.assert_close(a.down, b.down)


def test_a_projector_is_written_from_several_supports_and_from_all_pairs_when_they_fit():
    projector, hypernet = make()
    talkative(hypernet)
    item, text = vectors(20, D, 1), vectors(20, T, 2)
    found = hypernet.write(projector, item, text, supports=3, generator=generator())
    again = generator()
    rows = [torch.randperm(20, generator=again)[:8] for _ in range(3)]
    expected = projector.merged([hypernet(item[r], text[r]) for r in rows])
    torch.testing.assert_close(found.net[0].weight, expected.net[0].weight)
    few = hypernet.write(projector, item[:4], text[:4], supports=9, generator=generator())
    order = torch.randperm(4, generator=generator())
    torch.testing.assert_close(few.net[3].weight, projector.merged([hypernet(item[order], text[order])]).net[3].weight)


def test_a_rotation_keeps_distances_and_changes_coordinates():
    turn = random_rotation(50, generator())
    torch.testing.assert_close(turn @ turn.T, torch.eye(50), rtol=0, atol=1e-6)
    x = vectors(10, 50, 1)
    torch.testing.assert_close((x @ turn) @ (x @ turn).T, x @ x.T, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(x @ turn, x, atol=0.1)
    # Haar: no direction is preferred, so the mean over many is near 0; QR without the signs has a biased diagonal
    many = torch.stack([random_rotation(3, generator(seed)) for seed in range(600)])
    assert many.mean(0).abs().max() < 4 * (1 / 3) ** 0.5 / 600**0.5


def test_the_released_form_ends_after_the_first_layer():
    torch.manual_seed(0)
    projector = Projector(width=D, dim=E, released=True).eval()
    hypernet = talkative(ProjectorHypernet(width=D, dim=E, text_width=T, rank=2).eval())
    changes = hypernet(vectors(4, D, 1), vectors(4, T, 2))
    x = vectors(3, D, 0)
    one = projector.merged([changes])
    unit = x / x.norm(dim=1, keepdim=True)
    torch.testing.assert_close(projector(x, changes), F.gelu(one.net[0](unit), approximate="tanh"))
    with pytest.raises(ConfigError, match="hidden 9 is dim 5"):
        Projector(width=D, dim=E, hidden=9, released=True)


def test_gradients_are_those_of_finite_differences():
    projector, hypernet = make()
    talkative(hypernet)
    item, text, x = (vectors(n, w, s) for n, w, s in ((3, D, 1), (3, T, 2), (2, D, 3)))
    prefix = hypernet.prefix_tokens

    def value():
        return projector(x, hypernet(item, text)).square().sum()

    value().backward()
    way = torch.randn(prefix.shape, generator=generator(5))
    with torch.no_grad():
        prefix += 1e-2 * way
        above = value()
        prefix -= 2e-2 * way
        below = value()
    torch.testing.assert_close((above - below) / 2e-2, (prefix.grad * way).sum(), rtol=2e-2, atol=1e-3)


def test_what_does_not_fit_is_refused():
    projector, hypernet = make()
    with pytest.raises(ConfigError, match=r"items \(4, 5\)"):
        hypernet(vectors(4, 5, 0), vectors(4, T, 0))
    with pytest.raises(ConfigError, match="9 pairs, it reads up to 8"):
        hypernet(vectors(9, D, 0), vectors(9, T, 0))
    with pytest.raises(ConfigError, match="context 4 holds items of 6"):
        make(context=4)
    with pytest.raises(ConfigError, match="the changes are of layers"):
        projector(vectors(1, D, 0), [LowRank(torch.ones(2, 1), torch.ones(1, 2), torch.ones(2))])
    with pytest.raises(ConfigError, match="no changes"):
        projector.merged([])
