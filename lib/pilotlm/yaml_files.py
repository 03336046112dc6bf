"""YAML files that somebody else may have written: read as data, and what is wrong with one said in a sentence.

Every file of the project that a user writes (studies, arms, profiles) is read here. The loader makes plain values only
and can run nothing; it refuses what YAML allows and nobody means: a key that stands twice, a text that is larger than
any such file, and references that multiply without end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pilotlm.errors import InputError, nearest, shown

MOST_BYTES = 500_000
"""Fifty times the longest file that is shipped; PyYAML reads this much in a few seconds."""
MOST_ALIASES = 30
"""References to references multiply: 30 of them make fewer than 60000 values, a hundred would fill any memory."""
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's loader of plain values, without its silence about equal keys and its patience with references.

    A key is a name, as it is written: a study may be called 2024, on or 1e3.
    """

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.aliases += bool(self.check_event(yaml.AliasEvent))
        if self.aliases > MOST_ALIASES:
            raise _problem(f"more than {MOST_ALIASES} references (*name); write the values out", None)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _problem("a key must be a word", key_node.start_mark)
            if key_node.tag != f"{_TAG}merge":
                key_node.tag = f"{_TAG}str"
            key = key_node.value
            if key in seen:
                raise _problem(f"the key {shown(key)} appears twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _problem(what: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, what, mark)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of ``key: value`` lines."""
    text = _text(path)
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise InputError(f"{path}{where}: not valid YAML: {problem}.") from None
    except (ValueError, TypeError, OverflowError) as error:
        # A date such as 2024-13-45, a number of five thousand digits.
        raise InputError(f"{path}: not valid YAML: {shown(error)}; put text in quotes.") from None
    except (AttributeError, LookupError):
        # PyYAML trusts a tag: "!!timestamp" or "!!bool maybe" ends inside it.
        raise InputError(f"{path}: not valid YAML: a value is not what its tag (!!) says; leave the tag out.") from None
    except RecursionError:
        raise InputError(f"{path}: lists are nested too deeply; no key needs ten levels.") from None
    if not isinstance(content, dict):
        found = "empty" if content is None else f"of the kind {type(content).__name__}"
        raise InputError(f"{path}: the file must be made of 'key: value' lines, it is {found}.")
    return content


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            size = f"{path.stat().st_size / 1e6:.1f} MB"
            raise InputError(f"{path} has {size}; at most {MOST_BYTES / 1e6:g} MB are allowed: shorten its texts.")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.yml"))) or "none"
        raise InputError(f"{path} is missing; there are: {there}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8.") from None


def explain_validation(error: ValidationError, model: type[BaseModel]) -> str:
    """What is wrong with a file, the first thing of several, in a sentence."""
    every = error.errors()
    # A key that is missing and one that is unknown are one mistake in writing.
    first = next((one for one in every if one["type"] == "extra_forbidden"), every[0])
    where = [shown(part, quotes=False) for part in first["loc"]]
    place, inside = " > ".join(where) or "the file", " > ".join(where[:-1]) or "the file"
    if first["type"] == "extra_forbidden":
        allowed = _allowed_keys(model, first["loc"][:-1])
        return f"unknown key '{where[-1]}' in {inside}; {nearest(where[-1], allowed)}."
    if first["type"] == "missing":
        return f"the key '{where[-1]}' is missing in {inside}."
    if first["type"] == "union_tag_invalid":  # its own message repeats the value, however long
        known, found = first["ctx"]["expected_tags"], first["ctx"]["tag"]
        return f"{place}: the key {first['ctx']['discriminator']} must be one of {known} (got {shown(found)})."
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if first["type"] == "string_type" and not isinstance(first["input"], list | dict):
        message += "; a text that YAML reads as something else, such as 2024, on or null, is put in quotes"
    given = "" if first["type"] == "value_error" else f" (got {shown(first['input'])})"
    return f"{place}: {message}{given}."


def _allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """The keys allowed at a place of the file, found by walking the models along its path."""
    models: list[type[BaseModel]] = [model]
    for part in location:
        if isinstance(part, int):
            continue
        found = [m for known in models for m in _models_in(getattr(known.model_fields.get(part), "annotation", None))]
        tagged = [m for m in models if part in get_args(getattr(m.model_fields.get("kind"), "annotation", None))]
        # A name of the user's own, such as an arm's, leads to no other model.
        models = found or tagged or models
    return {key for known in models for key in known.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    own = [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
    return own + [model for inner in get_args(annotation) for model in _models_in(inner)]
