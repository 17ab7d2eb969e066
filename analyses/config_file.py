"""The YAML of `--config`: `option: value` lines, where a value is a scalar or a flat list of scalars.

The file is read as events, and nothing is constructed from it: aliases, tags and deeper nesting are refused where they
stand. A value is the text that the command line would be given; an unquoted null is no value.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from analyses.inputs import InputError

LARGEST_CONFIG: Final = 250_000
"""Characters; far more than all options of a command with the text of the largest graph."""

Value: TypeAlias = str | list[str] | None


def read_config(path: Path) -> dict[str, Value]:
    """Option -> value, as written.

    Raises InputError for a file that cannot be read, is larger than `LARGEST_CONFIG`, is not YAML, or holds anything
    but such lines.
    """
    import yaml

    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST_CONFIG + 1)
    except OSError as error:
        raise InputError(f"Cannot read the config file {path}: {(error.strerror or '').lower()}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid YAML: it is not UTF-8 text.") from error
    if len(text) > LARGEST_CONFIG:
        raise InputError(f"{path} has more than {LARGEST_CONFIG} characters, which is the most allowed.")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _options(path, yaml.parse(text, loader))
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def _options(path: Path, events: Iterator[Any]) -> dict[str, Value]:
    """The mapping that the events of one document describe."""
    import yaml

    found: dict[str, Value] = {}
    content = _content(path, events)
    first = next(content, None)
    if first is None or (isinstance(first, yaml.ScalarEvent) and _text(first) is None):
        return found
    if not isinstance(first, yaml.MappingStartEvent):
        kind = "list" if isinstance(first, yaml.SequenceStartEvent) else "single value"
        raise InputError(f"{path} must hold `option: value` lines, and holds a {kind}.")
    for key in content:
        if isinstance(key, yaml.MappingEndEvent):
            break
        if not isinstance(key, yaml.ScalarEvent):
            raise InputError(f"{path} has a list or a mapping where the name of an option is due.")
        if key.value in found:
            raise InputError(f"{path} has {key.value} more than once.")
        found[key.value] = _value(path, key.value, content)
    for _ in content:  # what comes after has to be YAML too, and no second document
        continue
    return found


def _content(path: Path, events: Iterator[Any]) -> Iterator[Any]:
    """The events inside the first document; raises InputError for an alias, an anchor, a tag or a second document."""
    import yaml

    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise InputError(
                    f"{path} holds more than one document: allowed is one, without `---` in between."
                )
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            name = f"&{event.anchor}" if not isinstance(event, yaml.AliasEvent) else f"*{event.anchor}"
            raise InputError(f"{path} has the anchor or alias {name}: allowed are plain values and lists.")
        elif getattr(event, "tag", None) is not None:
            raise InputError(f"{path} has the tag {event.tag!r}: allowed are plain values and lists.")
        elif isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _value(path: Path, key: str, content: Iterator[Any]) -> Value:
    import yaml

    event = next(content)
    if isinstance(event, yaml.ScalarEvent):
        return _text(event)
    if isinstance(event, yaml.MappingStartEvent):
        raise InputError(f"{path}: {key} must be a single value or a list, not a mapping.")
    items: list[str] = []
    for item in content:
        if isinstance(item, yaml.SequenceEndEvent):
            break
        if not isinstance(item, yaml.ScalarEvent):
            raise InputError(f"{path}: the list of {key} must hold single values, not lists or mappings.")
        items.append(item.value)
    return items


def _text(event: Any) -> str | None:
    """The text of a scalar; None for the unquoted words that YAML takes for null."""
    import yaml

    kind = yaml.resolver.Resolver().resolve(yaml.ScalarNode, event.value, event.implicit)
    return None if kind == "tag:yaml.org,2002:null" else event.value
