"""Configs in YAML that would run a command, each in another way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

# As whole as a training config has to be, in case that is looked at first.
_REST = "dataloader: {}\noptimizer: {}\nlr_multiplier: {}\ntrain: {}\n"


def _with(model: str) -> Callable[[Path], str]:
    """A config with a model, in whose text MARKER is the file that shows that something ran."""
    return lambda marker: f"model: {model.replace('MARKER', str(marker))}\n{_REST}"


_CALL = "{_target_: os.system, command: touch MARKER}"

PAYLOADS: dict[str, Callable[[Path], str]] = {
    # Run while the file is read.
    "tag": _with("!!python/object/apply:os.system ['touch MARKER']"),
    "new": _with("!!python/object/new:os.system ['touch MARKER']"),
    "object": _with("!!python/object:os.system {}"),
    "module": _with("!!python/module:antigravity ''"),
    "directive": lambda marker: (
        "%TAG ! tag:yaml.org,2002:python/\n---\n"
        f"model: !object/apply:os.system ['touch {marker}']\n{_REST}"
    ),
    "verbatim": _with("!<tag:yaml.org,2002:python/object/apply:os.system> ['touch MARKER']"),
    "key": lambda marker: f"? !!python/object/apply:os.system ['touch {marker}']\n: 1\n{_REST}",
    # Run when what they describe is built.
    "target": _with(_CALL),
    "name": _with("{_target_: !!python/name:os.system '', command: touch MARKER}"),
    "prefix": _with("{_target_: torch.utils.collect_env.os.system, command: touch MARKER}"),
    "nested": _with(f"{{_target_: torch.optim.SGD, params: [{{a: {_CALL}}}]}}"),
    "built": _with(f"{{_target_: {{_target_: torch.optim.SGD, params: {_CALL}}}}}"),
    "pointer": _with("{_target_: '${..other}', command: touch MARKER, other: os.system}"),
    "create": _with("\"${oc.create:'{_target_: os.system, command: touch MARKER}'}\""),
    "decode": _with("\"${oc.decode:'{_target_:os.system,command:touch MARKER}'}\""),
    "alias": lambda marker: f"a: &a {_CALL.replace('MARKER', str(marker))}\nmodel: *a\n{_REST}",
    "merge": lambda marker: (
        f"a: &a {_CALL.replace('MARKER', str(marker))}\nmodel: {{<<: *a}}\n{_REST}"
    ),
    # A text, which OmegaConf would read as YAML again.
    "text": lambda marker: f'"model: {_CALL.replace("MARKER", str(marker))}"\n',
}
