"""Whether the trees of a LightGBM text can be walked. LightGBM does not look: it crashes, or never comes back."""

from __future__ import annotations

import numpy as np

from models.base import Float, Int

END = "\nend of trees\n"


def check_trees(text: str) -> None:
    """Raise ValueError, KeyError or IndexError where a tree of numeric splits is not whole.

    Every leaf and every inner node but the root is the child of exactly one node, so a walk from the root ends; every
    leaf, threshold and column is a number that can be.
    """
    head, *blocks = text.split("\nTree=")
    if END not in text:
        raise ValueError("the text of the trees ends early")
    columns = int(_fields(head)["max_feature_idx"]) + 1
    for number, block in enumerate(blocks):
        try:
            _check_tree(_fields(block), columns)
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(f"tree {number} is not whole ({type(error).__name__}: {error})") from error


def _check_tree(fields: dict[str, str], columns: int) -> None:
    leaves = int(fields["num_leaves"])
    if leaves < 1 or int(fields["num_cat"]) or int(fields.get("is_linear", "0")):
        raise ValueError("other than numeric splits with constant leaves")
    if not np.isfinite(_floats(fields, "leaf_value", leaves)).all():
        raise ValueError("a leaf_value is not finite")
    if leaves == 1:
        return
    inner = leaves - 1
    _floats(fields, "threshold", inner)  # infinite where a split only tells what is missing from what is not
    split = _ints(fields, "split_feature", inner)
    if split.min() < 0 or split.max() >= columns:
        raise ValueError("split_feature names no column")
    if (_ints(fields, "decision_type", inner) & 1).any():
        raise ValueError("decision_type says categories")
    children = np.concatenate([_ints(fields, "left_child", inner), _ints(fields, "right_child", inner)])
    if not np.array_equal(np.sort(children), np.concatenate([np.arange(-leaves, 0), np.arange(1, inner)])):
        raise ValueError("children are no tree")


def _fields(block: str) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in block.splitlines())}


def _floats(fields: dict[str, str], name: str, count: int) -> Float:
    values = np.array(fields[name].split(), dtype=np.float64)
    if len(values) != count or np.isnan(values).any():
        raise ValueError(f"{name} is not {count} numbers")
    return values


def _ints(fields: dict[str, str], name: str, count: int) -> Int:
    values = np.array([int(word) for word in fields[name].split()], dtype=np.int64)
    if len(values) != count:
        raise ValueError(f"{name} is not {count} whole numbers")
    return values
