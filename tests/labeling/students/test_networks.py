"""Networks of students: the shipped one, torchvision's, and the user's own."""

import pytest
import torch

from configs.errors import ConfigError
from configs.load import load_student_training
from labeling.students.networks import check_network, load_weights, make_network
from labeling.students.train import frame_ious, student_losses

HW = (48, 64)


def own_network(channels: int = 1) -> torch.nn.Module:
    return torch.nn.Conv2d(3, channels, 3, padding=1)


def test_the_small_network_is_small_and_takes_any_size() -> None:
    network = make_network("small", {})
    assert 200_000 < sum(one.numel() for one in network.parameters()) < 300_000
    check_network(network, HW)
    check_network(network, (50, 70))


def test_your_own_factory_is_called_with_the_options_and_its_output_is_checked() -> None:
    reference = "python:tests.labeling.students.test_networks:own_network"
    check_network(make_network(reference, {}), HW)
    with pytest.raises(ConfigError, match=r"returns \(1, 2, 48, 64\) .* return logits of \(1, 1, 48, 64\)"):
        check_network(make_network(reference, {"channels": 2}), HW)
    with pytest.raises(ConfigError, match="failed: TypeError"):
        make_network(reference, {"layers": 2})
    with pytest.raises(ConfigError, match="has no 'nothing'"):
        make_network("python:tests.labeling.students.test_networks:nothing", {})
    with pytest.raises(ConfigError, match="network"):
        load_student_training(None, ["network=resnet"])


def test_weights_of_another_network_are_refused_by_name() -> None:
    network = make_network("small", {})
    load_weights(network, make_network("small", {}).state_dict(), "w.pt")
    with pytest.raises(ConfigError, match=r"w\.pt has the weights of another network: .*set `network`"):
        load_weights(network, own_network().state_dict(), "w.pt")


@pytest.mark.long
def test_torchvision_networks_start_from_the_published_weights_of_voc() -> None:
    from torchvision.models import get_model

    published = get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None).eval()
    network = make_network("lraspp_mobilenet_v3_large", {})
    load_weights(network, published.state_dict(), "published.pth")
    image = torch.randn(1, 3, *HW)
    with torch.no_grad():
        classes, person = published(image)["out"], network.eval()(image)
    torch.testing.assert_close(person, classes[:, 15:16] - classes[:, :1], atol=1e-4, rtol=0)
    check_network(make_network("deeplabv3_mobilenet_v3_large", {}), HW)


def test_losses_and_scores_ignore_what_is_not_known() -> None:
    labels = torch.tensor([[[[1, 1, 0, 0]]], [[[0, 0, 0, 0]]]], dtype=torch.uint8)
    logits = torch.tensor([[[[9.0, -9, -9, 9]]], [[[-9.0, -9, -9, -9]]]])
    assert frame_ious(logits, labels).tolist() == pytest.approx([1 / 3, 1])
    labels[0, 0, 0, 1:] = 2
    assert frame_ious(logits, labels).tolist() == [1, 1]
    known = student_losses(logits, labels)
    logits[0, 0, 0, 3] = -5
    assert known == student_losses(logits, labels)
