"""What two configs differ in."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf


def plain(node: DictConfig) -> object:
    return OmegaConf.to_container(node, resolve=False)


def differences(ours: object, theirs: object, key: str = "") -> set[str]:
    """Dotted keys of the values that differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {
            found
            for part in ours.keys() | theirs.keys()
            for found in differences(ours.get(part), theirs.get(part), f"{key}.{part}".lstrip("."))
        }
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return {
            found
            for index, pair in enumerate(zip(ours, theirs, strict=True))
            for found in differences(*pair, f"{key}.{index}")
        }
    return set() if ours == theirs else {key}
