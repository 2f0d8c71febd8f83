"""Read the shipped files and the user's own over them; all problems at once, by file and key.

A user's file has the form of a shipped one: the line `provider = "<name>"` and tables `[models."<name>"]`. A model
that is shipped is changed key by key, down to the fields; a new one is added.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from worker.errors import SettingsError
from worker.providers.catalogue import entries
from worker.providers.catalogue.entries import ProviderEntry, shown
from worker.providers.model import ModelRules

SHIPPED = Path(__file__).parent
FILE_BYTES = 4 * 1024 * 1024
NAME_CHARACTERS = 100


@dataclass
class _Tables:
    """One provider's tables, and the file that a problem of each model is told of."""

    about: Any = None
    about_file: str = ""
    models: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@cache
def shipped() -> Mapping[str, ProviderEntry]:
    """The catalogue as it is shipped, by provider."""
    return load(None)


def load(own: str | None) -> Mapping[str, ProviderEntry]:
    """The shipped catalogue with the user's file or folder *own* over it; raises `SettingsError` with all problems."""
    problems: list[str] = []
    tables: dict[str, _Tables] = {}
    for path in sorted(SHIPPED.glob("*.toml")):
        _add(path, tables, problems, is_own=False)
    for path in _own_files(own, problems):
        _add(path, tables, problems, is_own=True)
    found = {name: _entry(name, held, problems) for name, held in tables.items()}
    if problems:
        raise SettingsError(problems)
    return {name: entry for name, entry in found.items() if entry is not None}


def _own_files(own: str | None, problems: list[str]) -> Iterable[Path]:
    if own is None:
        return []
    if not Path(own).is_dir():
        return [Path(own)]
    files = sorted(Path(own).glob("*.toml"))
    if not files:
        problems.append(f"CALLSHEET_CATALOGUE names a folder without a .toml file: {own}")
    return files


def _add(path: Path, tables: dict[str, _Tables], problems: list[str], *, is_own: bool) -> None:
    """Put the tables of one file over those before it."""
    document = _read(path, problems)
    if document is None:
        return
    provider = document.get("provider")
    known = sorted(tables) if is_own else [path.stem]
    if provider not in known:
        problems.append(f"{path.name}: provider: must be one of {', '.join(known)}")
        return
    held = tables.setdefault(provider, _Tables())
    strange = sorted(set(document) - {"provider", "models", *([] if is_own else ["about"])})
    problems.extend(f"{path.name}: {shown(name)}: is not a key here; keys are provider, models" for name in strange)
    if not is_own:
        held.about, held.about_file = document.get("about"), path.name
    models = document.get("models", {})
    if not isinstance(models, dict):
        problems.append(f"{path.name}: models: must be tables such as [models.some-model]")
        return
    for name, table in models.items():
        held.models[name] = _over(held.models.get(name), table)
        held.files[name] = path.name


def _read(path: Path, problems: list[str]) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
        if len(content) > FILE_BYTES:
            problems.append(f"{path.name}: is over {FILE_BYTES // 2**20} MiB")
            return None
        return tomllib.loads(content.decode())
    except OSError as err:
        problems.append(f"CALLSHEET_CATALOGUE: {path} cannot be read ({err.strerror})")
    except UnicodeDecodeError:
        problems.append(f"{path.name}: is not UTF-8")
    except tomllib.TOMLDecodeError as err:
        problems.append(f"{path.name}: is not TOML: {str(err)[:200]}")
    except RecursionError:
        problems.append(f"{path.name}: is nested too deep")
    return None


def _over(below: Any, above: Any) -> Any:
    """*above* laid over *below*, table by table; a list replaces a list."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{key: _over(below.get(key), value) for key, value in above.items()}}


def _entry(name: str, held: _Tables, problems: list[str]) -> ProviderEntry | None:
    about, told = entries.about(held.about)
    problems.extend(f"{held.about_file}: about.{problem}" for problem in told)
    models: dict[str, ModelRules] = {}
    for key, table in held.models.items():
        where = f"{held.files[key]}: models.{shown(key)}"
        if not key.strip() or len(key) > NAME_CHARACTERS or not key.isprintable():
            problems.append(f"{where}: a model's name has 1 to {NAME_CHARACTERS} printable characters")
        rules, told = entries.model(name, key, table)
        problems.extend(f"{where}.{problem}" for problem in told)
        if rules is not None:
            models[key] = rules
    return ProviderEntry(about, models) if about else None
