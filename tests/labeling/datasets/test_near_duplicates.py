"""The vectors and the similarity by which near-duplicates are found, against plain computations."""

import cv2
import numpy as np

from labeling.datasets.splits.descriptors import COARSE, SIDE, Thumbnails, coarse_vectors
from labeling.datasets.splits.similarity import similarities


def places(count: int) -> Thumbnails:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (count, 7, 7), dtype=np.uint8)
    return np.stack([cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for one in coarse])


def flip(images: Thumbnails) -> Thumbnails:
    return np.ascontiguousarray(images[:, :, ::-1])


def test_flipping_an_image_changes_the_sign_of_the_second_half_of_its_vector() -> None:
    images = places(5)
    vectors, half = coarse_vectors(images), COARSE // 2
    flipped = np.concatenate([vectors[:, :half], -vectors[:, half:]], axis=1)
    np.testing.assert_allclose(coarse_vectors(flip(images)), flipped, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert not coarse_vectors(np.full((1, SIDE, SIDE), 90, np.uint8)).any()


def test_the_product_of_two_vectors_is_the_correlation_of_the_blurred_images() -> None:
    def blurred(image: Thumbnails) -> Thumbnails:
        small = cv2.resize(image.astype(np.float32), (20, 20), interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(small, (0, 0), 1.2) - cv2.GaussianBlur(small, (0, 0), 4.0)  # type: ignore[return-value]  # cv2 does not type its output's dtype

    images = places(8)
    plain = np.corrcoef([blurred(image).ravel() for image in images])
    vectors = coarse_vectors(images)
    np.testing.assert_allclose(vectors @ vectors.T, plain, atol=0.02)


def test_similarity_does_not_change_with_flips_and_order_and_is_one_for_a_part() -> None:
    images = places(6)
    first, second = images[:3], images[3:]
    found = similarities(first, second)
    np.testing.assert_allclose(similarities(second, first), found, atol=1e-5)
    np.testing.assert_allclose(similarities(first, flip(second)), found, atol=1e-5)
    assert found.max() < 0.7
    part = np.stack([cv2.resize(image[1:31, 2:32], (SIDE, SIDE)) for image in images])
    assert similarities(images, flip(part)).min() > 0.9
    plain = np.full((3, SIDE, SIDE), 90, np.uint8)
    np.testing.assert_allclose(similarities(first, plain), 0, atol=1e-6)
