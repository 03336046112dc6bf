from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from plain import lively, plain_logits, random_model, some_tokens

from pilotlm.models import prefix_cache
from pilotlm.models.encoding import Tokens
from pilotlm.models.loading import LanguageModel
from pilotlm.models.prefix_cache import Reading, TokenTree, attending, pad_left, read_texts

TREE = [(1,), (2,), (1, 3), (1, 4), (2, 1), (1, 3, 3)]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def model() -> Iterator[Any]:
    """In double precision, attending to shared texts."""
    with attending(lively().model):
        yield lively().model


@pytest.fixture(scope="module")
def ordinary() -> LanguageModel:
    """The same weights, attending as they came."""
    made = random_model()
    return replace(made, model=made.model.double())


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    # Rounding of double precision is four digits below this, and single precision three above.
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-10)


def way_of(path: Tokens) -> list[bool]:
    """The nodes of `TREE` on the way to one of them."""
    return [path[: len(node)] == node for node in TREE]


# Rows and pieces.


def test_rows_are_padded_on_the_left() -> None:
    tokens, real = pad_left([(5, 6, 7), (8,), (9, 10)])
    assert tokens.tolist() == [[5, 6, 7], [0, 0, 8], [0, 9, 10]]
    assert real.tolist() == [[True] * 3, [False, False, True], [False, True, True]]


def test_the_columns_kept_are_those_asked_for(model: Any, ordinary: LanguageModel) -> None:
    long, short = some_tokens(1, 9, 5)
    logits = Reading(model, 2).read([long, short], keep=torch.tensor([4, 6, 8]))
    assert close(logits[0], plain_logits(ordinary, long)[[4, 6, 8]])
    assert close(logits[1], plain_logits(ordinary, short)[[0, 2, 4]])


@pytest.mark.parametrize("beside", [[1, 1], [3, 30], [17, 17], [40, 2]])
def test_a_row_does_not_depend_on_the_rows_beside_it(model: Any, ordinary: LanguageModel, beside: list[int]) -> None:
    first, second = some_tokens(2, 6, 3)
    texts = [(first, second), *zip(some_tokens(3, *beside), some_tokens(4, *reversed(beside)), strict=True)]
    rows = Reading(model, len(texts))
    for chunk in range(2):
        logits = rows.read([text[chunk] for text in texts])
    for row, text in enumerate(texts):
        assert close(logits[row, -1], plain_logits(ordinary, text[0] + text[1])[-1])
    assert rows.position.tolist() == [len(a) + len(b) for a, b in texts]


def test_what_was_read_is_shared_by_the_rows_taken_from_it(model: Any, ordinary: LanguageModel) -> None:
    common, other, a, b, c = some_tokens(5, 8, 12, 4, 9, 2)
    two = Reading(model, 2)
    two.read([common, other])
    keys = [layer.keys.clone() for layer in two.cache.layers]
    logits = two.take([1, 0, 0]).read([a, b, c])
    for row, text in enumerate([other + a, common + b, common + c]):
        assert close(logits[row, -1], plain_logits(ordinary, text)[-1])
    # The one that it was taken from goes on as if nothing had happened.
    assert all(torch.equal(layer.keys, before) for layer, before in zip(two.cache.layers, keys, strict=True))
    logits = two.read([c, a])
    assert close(logits[0, -1], plain_logits(ordinary, common + c)[-1])
    assert close(logits[1, -1], plain_logits(ordinary, other + a)[-1])


# A text that all rows begin with.


def shared_text(model: Any, *pieces: Tokens) -> Any:
    shared = None
    for piece in pieces:
        one = Reading(model, 1, shared)
        one.read([piece])
        shared = one.as_shared()
    return shared


def test_behind_a_shared_text_rows_are_the_whole_text(model: Any, ordinary: LanguageModel) -> None:
    first, second, a, b, c = some_tokens(11, 9, 5, 4, 1, 12)
    shared = shared_text(model, first, second)
    assert shared.length == 14
    rows = Reading(model, 3, shared)
    assert rows.position.tolist() == [14] * 3
    for chunks, texts in (((a, b, c), (a, b, c)), ((c, c, a), (a + c, b + c, c + a))):
        logits = rows.read(chunks)
        for row, text in enumerate(texts):
            assert close(logits[row, -1], plain_logits(ordinary, first + second + text)[-1])
    # It exists once: no row has a copy in its own cache.
    assert rows.cache.layers[0].keys.shape[2] == 24


def test_only_one_whole_text_is_shared(model: Any) -> None:
    two = Reading(model, 2)
    two.read([(1, 2), (3, 4)])
    padded = Reading(model, 2)
    padded.read([(1, 2), (3,)])
    for several in (two, padded.take([1])):
        with pytest.raises(ValueError, match="only a single text without padding can be shared"):
            several.as_shared()
    assert two.take([1]).as_shared().length == 2


# Branches.


@pytest.mark.parametrize("lengths", [(5, 5), (4, 19)])
def test_branches_are_the_text_read_on(model: Any, ordinary: LanguageModel, lengths: tuple[int, int]) -> None:
    before, chunks = some_tokens(6, 7)[0], some_tokens(7, *lengths)
    for rows in (Reading(model, 2, shared_text(model, before)), Reading(model)):
        if rows.shared is None:
            rows.read([before])
            rows = rows.take([0, 0])
        logits = rows.read(chunks, branches=TokenTree(TREE))
        assert logits.shape[:2] == (2, 1 + len(TREE))
        for row, chunk in enumerate(chunks):
            for k, path in enumerate([(), *TREE]):
                assert close(logits[row, k], plain_logits(ordinary, before + chunk + path)[-1])


@pytest.mark.parametrize("paths", [[(), (2, 1)], [(1, 3, 3), (1,)], [(1, 4), (1, 4)]])
def test_reading_goes_on_behind_the_branches_that_are_followed(
    model: Any, ordinary: LanguageModel, paths: list[Tokens]
) -> None:
    chunks, second, third = some_tokens(8, 6, 10), some_tokens(9, 3, 5), some_tokens(10, 1, 4)
    rows = Reading(model, 2)
    rows.read(chunks, branches=TokenTree(TREE))
    rows.follow(torch.tensor([way_of(path) for path in paths]))
    texts = [chunk + path for chunk, path in zip(chunks, paths, strict=True)]
    assert rows.position.tolist() == [len(text) for text in texts]
    logits = rows.read(second, branches=TokenTree(TREE))
    texts = [text + more for text, more in zip(texts, second, strict=True)]
    for row, text in enumerate(texts):
        assert close(logits[row, 0], plain_logits(ordinary, text)[-1])
        assert close(logits[row, 1 + TREE.index((1, 3))], plain_logits(ordinary, (*text, 1, 3))[-1])
    # Taken in another order, and behind a second branch.
    taken = rows.take([1, 0, 1])
    taken.follow(torch.tensor([way_of((2,)), way_of((1, 3)), way_of(())]))
    logits = taken.read([third[0], third[1], third[0]])
    for row, text in enumerate([(*texts[1], 2, *third[0]), (*texts[0], 1, 3, *third[1]), texts[1] + third[0]]):
        assert close(logits[row, -1], plain_logits(ordinary, text)[-1])


def test_a_branch_sees_its_own_way_only() -> None:
    tree = TokenTree(TREE)
    assert tree.tokens.tolist() == [1, 2, 3, 4, 1, 3] and tree.depth.tolist() == [1, 1, 2, 2, 2, 3]
    for path, sees in zip(TREE, tree.sees, strict=True):
        assert sees.tolist() == way_of(path)


def test_a_tree_goes_on_from_a_text_read_before() -> None:
    tree = TokenTree([(7, 8, 9), (7, 5), (6,)], behind=(7, 8))
    assert tree.column == {(7,): 0, (7, 8): 1, (7, 8, 9): 2, (7, 5): 3, (6,): 4}
    assert tree.tokens.tolist() == [9, 5, 6] and tree.depth.tolist() == [3, 2, 1]
    assert tree.sees.int().tolist() == [[1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [0, 0, 0, 0, 1]]


# Texts as a tree of tokens.


def alike_texts(seed: int, count: int) -> list[Tokens]:
    """Texts of two different tokens: many begin alike, some are equal, some are the beginning of others."""
    rng = np.random.default_rng(seed)
    return [tuple(int(token) for token in rng.integers(65, 67, rng.integers(1, 12))) for _ in range(count)]


@pytest.mark.parametrize("nodes", [1, 3, 20, 256])
@pytest.mark.parametrize("seed", range(3))
def test_texts_read_as_a_tree_are_the_texts(
    model: Any, ordinary: LanguageModel, monkeypatch: pytest.MonkeyPatch, nodes: int, seed: int
) -> None:
    monkeypatch.setattr(prefix_cache, "NODES", nodes)
    common, texts = some_tokens(14, 6)[0], alike_texts(seed, 15)
    for shared, lead in ((shared_text(model, common), common), (None, ())):
        rows = read_texts(model, shared, texts)
        assert rows.position.tolist() == [len(lead) + len(text) for text in texts]
        logits = rows.read([(33,) if k % 2 else (34, 35) for k in range(len(texts))])
        for k, text in enumerate(texts):
            assert close(logits[k, -1], plain_logits(ordinary, (*lead, *text, *((33,) if k % 2 else (34, 35))))[-1])


@pytest.mark.parametrize("nodes", [1, 7, 256])
def test_what_texts_have_in_common_is_read_once(model: Any, monkeypatch: pytest.MonkeyPatch, nodes: int) -> None:
    monkeypatch.setattr(prefix_cache, "NODES", nodes)
    texts = alike_texts(7, 30)
    read: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda module, args, given: read.append(given["input_ids"].numel()), with_kwargs=True
    )
    read_texts(model, None, texts)
    hook.remove()
    assert sum(read) == len({text[: k + 1] for text in texts for k in range(len(text))})
    # A text is never cut, so a pass may be as long as the longest one.
    assert max(read) <= max(nodes, 11)
