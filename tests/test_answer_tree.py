from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlm.models.answer_scoring import AnswerTree
from pilotlm.models.encoding import Tokens

VOCABULARY = 12
END = 11
ANSWERS = st.sets(st.lists(st.integers(0, 3), max_size=4).map(tuple), min_size=1, max_size=8).map(
    # With the same end behind all of them no answer is the beginning of another.
    lambda texts: tuple((*text, END) for text in sorted(texts))
)


def some_logits(rows: int, nodes: int) -> torch.Tensor:
    return torch.randn(rows, nodes, VOCABULARY, generator=torch.Generator().manual_seed(nodes))


def nodes_of(tree: AnswerTree) -> list[Tokens]:
    """The beginnings of answers whose logits the tree is given: the root, the lead, the branches."""
    paths = [tree.lead[:k] for k in range(len(tree.lead) + 1)]
    return [*paths, *(tree.lead + path for path in tree.branches.column)]


def check(tree: AnswerTree, rows: int = 2) -> None:
    """The log-probability of each answer against the plain sum over its tokens."""
    nodes = nodes_of(tree)
    logits = some_logits(rows, len(nodes))
    steps = logits.double().log_softmax(-1)
    got = tree.steps(logits) @ tree.uses
    assert got.dtype == torch.float64 and got.shape == (rows, len(tree.scored))
    for k, answer in enumerate(tree.scored):
        wanted = sum(steps[:, nodes.index(answer[:j]), token] for j, token in enumerate(answer))
        # Each step is normalised in single precision, seven digits of numbers around three.
        assert torch.allclose(got[:, k], torch.as_tensor(wanted), rtol=0, atol=1e-5)


def test_answers_that_begin_alike() -> None:
    tree = AnswerTree.of(((5, 1, 9), (5, 1, 0, 9), (5, 9), (7,)))
    assert tree.lead == ()
    # A node for what is gone on from; a step for every token of every answer, shared where the way is.
    assert tree.branches.tokens.tolist() == [5, 1] and tree.branches.depth.tolist() == [1, 2]
    assert len(tree.edge_token) == 6 and tree.uses.sum() == 3 + 3 + 2 + 1
    assert tree.ways.int().tolist() == [[1, 1], [1, 1], [1, 0], [0, 0]]
    check(tree, rows=19)  # more than are normalised together


def test_what_all_answers_begin_with_is_read_with_the_label() -> None:
    tree = AnswerTree.of(((4, 5, 1, 9), (4, 5, 2, 9), (4, 5, 2, 8)))
    assert tree.lead == (4, 5)
    assert tree.branches.tokens.tolist() == [2] and tree.branches.depth.tolist() == [1]
    assert tree.ways.int().tolist() == [[0], [1], [1]]
    check(tree)


def test_the_end_of_the_line_is_scored_only_where_an_answer_begins_another() -> None:
    scale = AnswerTree.of(tuple((4, digit, END) for digit in (1, 2, 3)))
    assert scale.scored == ((4, 1), (4, 2), (4, 3)) and scale.lead == (4,) and not len(scale.branches.tokens)
    words = AnswerTree.of(((5, 6, END), (7, 8, END)))
    assert words.scored == ((5, 6), (7, 8)) and words.branches.tokens.tolist() == [5, 7]
    ten = ((4, 1, END), (4, 2, END), (4, 1, 0, END))
    assert AnswerTree.of(ten).scored == ((4, 1, END), (4, 2), (4, 1, 0))
    # A tokenizer may write the end of the line and the answer as one.
    assert AnswerTree.of(((4, 8), (4, 9))).scored == ((4, 8), (4, 9))
    for answers in (ten, ((5, 6, END), (7, 8, END))):
        check(AnswerTree.of(answers))


def test_the_last_token_of_an_answer_is_never_in_the_lead() -> None:
    tree = AnswerTree.of(((4, 9), (4, 5, 9)))
    assert tree.lead == (4,)
    assert tree.scored == ((4, 9), (4, 5)) and not len(tree.branches.tokens)
    check(tree)
    assert AnswerTree.of(((4,), (5, 9))).lead == ()


@settings(max_examples=60, deadline=None)
@given(ANSWERS)
def test_any_answers(answers: tuple[Tokens, ...]) -> None:
    tree = AnswerTree.of(answers)
    check(tree)
    assert len(set(nodes_of(tree))) == len(nodes_of(tree))
    # A token of the way is either in the lead, on a branch, or the last one.
    for scored, answer in zip(tree.scored, answers, strict=True):
        begins = any(other != answer and other[: len(answer) - 1] == answer[:-1] for other in answers)
        # Of an answer of no token but its end nothing else could be scored.
        assert scored == (answer if begins or len(answer) == 1 else answer[:-1])
    for answer, way in zip(tree.scored, tree.ways, strict=True):
        assert len(tree.lead) + int(way.sum()) + 1 == len(answer)
        assert tree.branches.tokens[way].tolist() == list(answer[len(tree.lead) : -1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_of_low_precision_are_normalised_in_single_precision(dtype: torch.dtype) -> None:
    tree = AnswerTree.of(((1, 9), (2, 9), (2, 3, 9)))
    rounded = some_logits(2, len(nodes_of(tree))).to(dtype)
    assert torch.equal(tree.steps(rounded), tree.steps(rounded.float()))
