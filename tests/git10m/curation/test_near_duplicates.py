"""Near-duplicates: what is found among planted copies of real tiles, and what is left alone."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import PLANTED, copy_of
from real_tiles import real_tiles
from small_imagery import texture

from git10m.curation.degradations import add_noise, as_jpeg, blurred
from git10m.curation.duplicates import perceptual_hashes
from git10m.curation.near_duplicates import TURNS, Hashes, candidates, copies, detail, known_copies, laid, likeness

LEAST = 0.8


def hashes_of(pictures: list[np.ndarray]) -> Hashes:
    return Hashes.parsed(*zip(*(perceptual_hashes(picture) for picture in pictures), strict=True))


def found_among(pictures: list[np.ndarray], *, turned: bool = False) -> dict[int, tuple[int, float]]:
    details = [detail(picture) for picture in pictures]

    def alike(one: int, other: int) -> float:
        return likeness(details[one], details[other], turned=turned)

    return copies(hashes_of(pictures), alike, least=LEAST, turned=turned)


def parcels(seed: int) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(texture(256, 256, seed=seed), 0, -1))


@pytest.fixture(scope="module")
def distinct(imagery: Path) -> list[np.ndarray]:
    """Real tiles of which no two show one place: the first scene of each place alone, and UCM's chips."""
    seen: dict[str, str] = {}
    chosen = []
    for name, pixels in real_tiles(imagery, each=12):
        place = name.split("__")[0] if name.startswith(("landsat", "naip")) else name.replace("RGBA", "RGB")
        if seen.setdefault(place, name) == name and detail(pixels) is not None:
            chosen.append(pixels)
    return _without_overlaps(chosen)


def _without_overlaps(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Leave out windows of one scene that lie over each other almost wholly: they are copies indeed."""
    details = [detail(picture) for picture in pictures]
    kept: list[int] = []
    for i, one in enumerate(details):
        if all(likeness(details[j], one) < 0.5 for j in kept[-12:]):
            kept.append(i)
    return [pictures[i] for i in kept]


# What is found


def test_planted_copies_of_real_tiles_are_found_and_nothing_else(
    distinct: list[np.ndarray], capsys: pytest.CaptureFixture[str]
):
    draws = np.random.default_rng(8)
    planted = [(i, how(picture, draws)) for how in PLANTED.values() for i, picture in enumerate(distinct)]
    pictures = [*distinct, *(picture for _, picture in planted)]
    found = found_among(pictures)
    origin = [*range(len(distinct)), *(i for i, _ in planted)]
    right = sum(origin[image] == origin[of] for image, (of, _) in found.items())
    recall, precision = right / len(planted), right / len(found)
    by_kind = {
        name: sum(len(distinct) * (n + 1) + i in found for i in range(len(distinct))) / len(distinct)
        for n, name in enumerate(PLANTED)
    }
    with capsys.disabled():
        print(f"\n{len(distinct)} real tiles, {len(planted)} copies: recall {recall:.4f}, precision {precision:.4f}")
        print({name: round(share, 3) for name, share in by_kind.items()})
    assert len(distinct) > 60
    assert recall >= 0.99
    assert precision >= 0.99
    assert all(image >= len(distinct) for image in found)  # no tile goes for another tile


def test_no_pair_among_distinct_featureless_tiles():
    """Calm sea under the same fall of light, with noise, waves too faint to see, or JPEG blocks."""
    draws = np.random.default_rng(2)
    y, x = np.mgrid[0:256, 0:256] / 256.0
    pictures = []
    for number in range(60):
        sea = 30 + 8 * x + 5 * y + draws.uniform(0, 4)
        sea = sea + 0.4 * np.sin(40 * (x * np.cos(number) + y * np.sin(number)))
        flat = np.repeat(sea.round().astype(np.uint8)[..., None], 3, axis=2)
        noisy = add_noise(flat, draws.uniform(0.5, 3.0), seed=number)
        pictures += [flat, noisy, as_jpeg(noisy, 60)]
    own = {number: number // 3 for number in range(len(pictures))}
    assert all(own[image] == own[of] for image, (of, _) in found_among(pictures).items())


def test_clouds_and_dunes_of_one_kind_are_not_one_picture():
    """The same statistics, other draws."""
    pictures = [
        blurred(np.random.default_rng(seed).integers(0, 256, (256, 256, 3), dtype=np.uint8), 6) for seed in range(40)
    ]
    assert found_among(pictures) == {}


def test_the_first_stays_and_chains_end():
    """C is like B and B like A, but C is not like A: B goes for A, C stays."""
    a, c = parcels(1), parcels(2)
    b = (0.55 * a + 0.45 * c).astype(np.uint8)
    table = {(0, 1): 0.9, (1, 2): 0.9, (0, 2): 0.1}
    same = hashes_of([a, a, a])
    assert copies(same, lambda i, j: table[i, j], least=LEAST) == {1: (0, 0.9)}
    assert found_among([a, b, c]).keys() <= {1}


def test_many_equal_pictures_are_compared_with_the_first_alone():
    asked: list[tuple[int, int]] = []

    def alike(one: int, other: int) -> float:
        asked.append((one, other))
        return 1.0

    gone = copies(hashes_of([parcels(3)] * 500), alike, least=LEAST)
    assert {of for of, _ in gone.values()} == {0}
    assert len(gone) == len(asked) == 499


@pytest.mark.parametrize("turn", TURNS[1:])
def test_turned_copies_are_found_on_request(turn: tuple[int, bool]):
    pictures = [parcels(seed) for seed in range(12)]
    turned = [np.ascontiguousarray(laid(picture, *turn)) for picture in pictures]
    both = [*pictures, *(as_jpeg(picture, 80) for picture in turned)]
    assert found_among(both, turned=True).keys() == set(range(12, 24))
    assert found_among(both).keys().isdisjoint(range(12))


def test_turned_real_tiles(distinct: list[np.ndarray], capsys: pytest.CaptureFixture[str]):
    draws = np.random.default_rng(4)
    turned = [np.ascontiguousarray(laid(picture, *TURNS[int(draws.integers(1, 8))])) for picture in distinct]
    found = found_among([*distinct, *(as_jpeg(picture, 70) for picture in turned)], turned=True)
    right = sum(of == image - len(distinct) for image, (of, _) in found.items())
    with capsys.disabled():
        print(f"\nturned: recall {right / len(distinct):.3f}, precision {right / len(found):.3f}")
    assert right / len(distinct) >= 0.95
    assert right / len(found) >= 0.99


def test_only_some_images_and_in_the_order_that_is_said():
    pictures = [parcels(1), parcels(2), as_jpeg(parcels(1), 70), as_jpeg(parcels(2), 70), parcels(1)]
    details = [detail(picture) for picture in pictures]

    def alike(one: int, other: int) -> float:
        return likeness(details[one], details[other])

    hashes = hashes_of(pictures)
    said = {image: of for image, (of, _) in copies(hashes, alike, least=LEAST, rows=np.array([3, 4, 2, 1])).items()}
    assert said == {1: 3, 2: 4}
    kept = known_copies(hashes, hashes, alike, least=LEAST, rows=np.array([0, 1]), known_rows=np.array([2]))
    assert {image: of for image, (of, _) in kept.items()} == {0: 2}


def test_a_known_set_is_compared_with_all():
    known = [parcels(seed) for seed in range(6)]
    draws = np.random.default_rng(1)
    pictures = [parcels(20), copy_of(known[4], draws), parcels(21), copy_of(known[2], draws)]
    details, theirs = [detail(picture) for picture in pictures], [detail(picture) for picture in known]
    found = known_copies(
        hashes_of(pictures), hashes_of(known), lambda k, i: likeness(theirs[k], details[i]), least=LEAST
    )
    assert {image: of for image, (of, _) in found.items()} == {1: 4, 3: 2}


# The arithmetic


def flipped(words: np.ndarray, bits: list[int]) -> np.ndarray:
    out = words.copy()
    for bit in bits:
        out[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return out


@given(st.integers(0, 2**32 - 1), st.integers(0, 7), st.integers(0, 56))
def test_hashes_that_differ_in_seven_bits_are_always_met(seed: int, few: int, many: int):
    draws = np.random.default_rng(seed)
    coarse = draws.integers(0, 2**63, 40, dtype=np.uint64)
    fine = draws.integers(0, 2**63, (40, 4), dtype=np.uint64)
    coarse[7] = flipped(coarse[3:4], draws.choice(64, few, replace=False).tolist())[0]
    fine[7] = flipped(fine[3], draws.choice(256, many, replace=False).tolist())
    left, right = candidates(Hashes(coarse, fine))
    assert (3, 7) in set(zip(left.tolist(), right.tolist(), strict=True))


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60))
def test_pairs_are_those_of_a_plain_loop_where_it_is_certain(seed: int, rows: int, others: int):
    """Few bits vary, so that many pairs are near; each is named once, and none that is not near."""
    draws = np.random.default_rng(seed)

    def some(count: int) -> Hashes:
        return Hashes(
            draws.integers(0, 2**12, count, dtype=np.uint64) * np.uint64(2**26 + 1),
            draws.integers(0, 2**20, (count, 4), dtype=np.uint64),
        )

    def distances(a: Hashes, b: Hashes) -> tuple[np.ndarray, np.ndarray]:
        coarse = np.bitwise_count(a.coarse[:, None] ^ b.coarse[None])
        return coarse, np.bitwise_count(a.fine[:, None] ^ b.fine[None]).sum(axis=2)

    one, other = some(rows), some(others)
    for second in (None, other):
        found = list(zip(*(part.tolist() for part in candidates(one, second)), strict=True))
        coarse, fine = distances(one, second or one)
        certain = set(zip(*(part.tolist() for part in np.nonzero((coarse <= 7) & (fine <= 56))), strict=True))
        near = set(zip(*(part.tolist() for part in np.nonzero((coarse <= 12) & (fine <= 56))), strict=True))
        if second is None:
            certain, near = ({(a, b) for a, b in pairs if a < b} for pairs in (certain, near))
        assert len(found) == len(set(found))
        assert certain <= set(found) <= near


@pytest.mark.parametrize("turn", TURNS)
def test_hashes_are_turned_without_the_picture(turn: tuple[int, bool]):
    for seed in range(5):
        picture = parcels(seed)
        wanted = hashes_of([np.ascontiguousarray(laid(picture, *turn))])
        turned = hashes_of([picture]).turned(*turn)
        assert np.bitwise_count(turned.coarse ^ wanted.coarse)[0] <= 12
        assert np.bitwise_count(turned.fine ^ wanted.fine).sum() <= 40


def test_likeness_is_one_of_a_picture_with_itself_and_knows_small_shifts():
    one = detail(parcels(5))
    assert one is not None
    assert likeness(one, one) == pytest.approx(1.0, abs=1e-5)
    moved = np.roll(one, (3, -3), (0, 1))
    assert likeness(one, moved) > 0.99
    assert likeness(one, np.roll(one, 9, 0)) < 0.6
    assert likeness(one, None) == likeness(None, None) == 0.0


@pytest.mark.parametrize("size", [(64, 64), (200, 300), (256, 256), (512, 512), (700, 520)])
def test_pictures_of_any_size_are_compared_at_one(size: tuple[int, int]):
    height, width = size
    found = detail(np.ascontiguousarray(np.moveaxis(texture(height, width), 0, -1)))
    assert found is not None
    assert found.shape == (256, 256)


def test_no_hashes_no_pairs():
    none = Hashes(np.empty(0, dtype=np.uint64), np.empty((0, 4), dtype=np.uint64))
    assert copies(none, lambda i, j: 1.0, least=LEAST) == {}
    assert known_copies(none, hashes_of([parcels(1)]), lambda i, j: 1.0, least=LEAST) == {}


def test_the_search_holds_less_than_64_bytes_an_image(monkeypatch: pytest.MonkeyPatch):
    """Forty of them are the hashes; what the search adds is the slope between two sizes, its buffers kept small."""
    monkeypatch.setattr("git10m.curation.near_duplicates._ROWS", 2**13)
    monkeypatch.setattr("git10m.curation.near_duplicates._CHUNK", 2**14)
    peaks = []
    for images in (100_000, 200_000):
        draws = np.random.default_rng(0)
        hashes = Hashes(
            draws.integers(0, 2**63, images, dtype=np.uint64), draws.integers(0, 2**63, (images, 4), dtype=np.uint64)
        )
        tracemalloc.start()
        assert copies(hashes, lambda i, j: 0.0, least=LEAST) == {}
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert 40 + (peaks[1] - peaks[0]) / 100_000 <= 64
