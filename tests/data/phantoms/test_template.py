import torch

from voxlex.data.phantoms.template import CSF, GREY, WHITE, load_template


def test_known_places_hold_their_tissue():
    points = torch.tensor(
        [
            [-6.0, 10.0, 12.0],  # frontal horn of the left lateral ventricle
            [26.0, -20.0, 30.0],  # right corona radiata
            [-28.0, -55.0, -40.0],  # left cerebellar white matter and cortex
            [200.0, 0.0, 0.0],  # outside the head
        ]
    )
    maps = load_template().sample(points)
    assert maps.shape == (4, 4)
    assert maps[CSF, 0] > 0.6
    assert maps[WHITE, 1] > 0.9
    assert maps[GREY, 2] + maps[WHITE, 2] > 0.9
    assert (maps[:, 3] == 0).all()


def test_tissues_are_shares():
    tissues = load_template().maps[0, : WHITE + 1]
    assert tissues.min() >= 0
    assert tissues.max() <= 1
    assert tissues.sum(0).max() < 1.02


def test_points_keep_their_shape():
    assert load_template().sample(torch.zeros(2, 5, 3)).shape == (4, 2, 5)
