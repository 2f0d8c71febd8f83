"""The catalogue's files: the user's own over the shipped ones, and every problem of theirs at once, by file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.errors import SettingsError
from worker.jobs.spec import JobSpec, parse_spec
from worker.providers.catalogue import files
from worker.providers.catalogue.entries import ProviderEntry
from worker.providers.model import ModelRules, find_rules
from worker.providers.payload import is_echo, payload

NEW = """
provider = "apimart"
[models."some-video-2"]
source = "https://example.com/some-video-2"
read = 2026-12-01
answers_to = { "some-video" = "without first_frame" }
needs = [["prompt", "first_frame"]]
one_of = [["first_frame", "reference_images"]]
constants = { "options.watermark" = false }
[models."some-video-2".fields]
prompt = { type = "string", characters = 100 }
first_frame = { wire = "image_urls[0]", type = "url" }
last_frame = { wire = "image_urls[1]", type = "url", only_with = ["first_frame"] }
reference_images = { wire = "refs", type = "url_list", items = [1, 2] }
duration = { wire = "settings.duration", type = "string_integer", values = [5, 10], default = 5 }
sound = { wire = "audio", type = "on_off", default = false }
seed = { type = "integer", range = [0, 99] }
cfg_scale = { type = "number", range = [0, 1] }
mode = { type = "string", values = ["std", "pro"], default = "std", also = { "tier" = 1 } }
shots = { wire = "multi_prompt", type = "shots", also = { "multi_shot" = true }, not_with = ["prompt"] }
[models."some-video-2".extra]
"style.name" = { type = "string", values = ["film", "anime"] }
"web_search" = { type = "boolean" }
[[models."some-video-2".prices]]
usd = "0.2"
per = "second"
mode = "pro"
source = "https://example.com/prices"
read = 2026-12-01
[[models."some-video-2".prices]]
usd = "1.5"
per = "video"
sound = true
source = "https://example.com/prices"
read = 2026-12-01
[[models."some-video-2".prices]]
usd = "0.1"
per = "second"
source = "https://example.com/prices"
read = 2026-12-01
"""
FRAME, LAST = "https://example.com/a.png", "https://example.com/b.png"
EVERYTHING: dict[str, Any] = {
    "model": "some-video-2",
    "prompt": "a corgi",
    "first_frame": FRAME,
    "last_frame": LAST,
    "duration": 10,
    "audio": True,
    "seed": 7,
    "cfg_scale": 0.5,
    "mode": "pro",
    "extra": {"style.name": "film", "web_search": False},
}


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def new_model(tmp_path: Path) -> ModelRules:
    return files.load(write(tmp_path, NEW))["apimart"].models["some-video-2"]


def problems_of(own: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        files.load(own)
    return tuple(caught.value.problems)


def test_every_field_goes_to_its_place_in_its_type(tmp_path: Path) -> None:
    sent = payload(new_model(tmp_path), parse_spec(EVERYTHING), {"first_frame": FRAME, "last_frame": LAST})

    assert sent == {
        "prompt": "a corgi",
        "image_urls": [FRAME, LAST],
        "settings": {"duration": "10"},
        "audio": "on",
        "seed": 7,
        "cfg_scale": 0.5,
        "mode": "pro",
        "tier": 1,
        "style": {"name": "film"},
        "web_search": False,
        "options": {"watermark": False},
    }


def test_references_and_shots_go_as_lists(tmp_path: Path) -> None:
    spec = parse_spec(
        {
            "model": "some-video-2",
            "reference_images": [FRAME, LAST],
            "shots": [{"seconds": 2, "prompt": "a door"}, {"seconds": 3, "prompt": "rain"}],
        }
    )

    sent = payload(new_model(tmp_path), spec, {"reference_images[0]": FRAME, "reference_images[1]": LAST})

    assert sent["refs"] == [FRAME, LAST]
    assert sent["multi_prompt"] == [{"prompt": "a door", "duration": 2}, {"prompt": "rain", "duration": 3}]
    assert sent["multi_shot"] is True
    assert is_echo(new_model(tmp_path), spec, sent)
    assert not is_echo(new_model(tmp_path), spec, {**sent, "refs": [LAST, FRAME]})


@pytest.mark.parametrize(
    "change",
    [
        {"image_urls": [FRAME]},
        {"settings": {"duration": "5"}},
        {"audio": "off"},
        {"cfg_scale": 1},
        {"style": {"name": "anime"}},
    ],
    ids=str,
)
def test_an_echo_is_ours_only_where_every_field_agrees(change: dict[str, Any], tmp_path: Path) -> None:
    rules, spec = new_model(tmp_path), parse_spec(EVERYTHING)
    sent = payload(rules, spec, {"first_frame": FRAME, "last_frame": LAST})

    assert is_echo(rules, spec, sent)
    assert not is_echo(rules, spec, {**sent, **change})


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"duration": 7}, "duration: is 7; apimart some-video-2 makes 5, 10 seconds"),
        ({"seed": 100}, "seed: apimart some-video-2 takes 0 to 99"),
        ({"mode": "max"}, "mode: apimart some-video-2 takes std, pro"),
        ({"prompt": "x" * 101}, "prompt: has 101 characters; apimart some-video-2 takes at most 100"),
        ({"last_frame": LAST}, "last_frame: apimart some-video-2 takes it only with first_frame"),
        ({"reference_images": [FRAME] * 3}, "reference_images: has 3 items; apimart some-video-2 takes 1 to 2"),
        (
            {"first_frame": FRAME, "reference_images": [FRAME]},
            "reference_images: apimart some-video-2 takes only one of first_frame, reference_images",
        ),
        ({"watermark": True}, "watermark: is not taken by apimart some-video-2"),
        ({"extra": {"web_search": "yes"}}, "extra.web_search: must be true or false on apimart some-video-2"),
        ({"extra": {"style.name": "oil"}}, "extra.style.name: apimart some-video-2 takes film, anime"),
        ({"extra": {"prompt": "x"}}, "extra: holds a name that is not declared for apimart some-video-2; declared are"),
    ],
)
def test_a_spec_beyond_the_models_limits_is_refused_by_field(
    fields: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    spec = parse_spec({"model": "some-video-2", "prompt": "a corgi", **fields})

    (told,) = new_model(tmp_path).problems(spec)

    assert told.startswith(problem)


@pytest.mark.parametrize(
    ("fields", "amount"),
    [({}, "0.5"), ({"mode": "pro", "duration": 10}, "2.0"), ({"sound": True}, "1.5"), ({"sound": False}, "0.5")],
)
def test_the_first_price_that_fits_counts(fields: dict[str, Any], amount: str, tmp_path: Path) -> None:
    cost = new_model(tmp_path).cost(JobSpec(model="some-video-2", prompt="a corgi", **fields))

    assert cost == {"amount": amount, "currency": "USD", "basis": "list_price"}


def test_a_price_by_sound_is_unknown_where_nobody_says_what_silence_means(tmp_path: Path) -> None:
    own = NEW.replace(", default = false }", " }").replace(
        'usd = "0.1"\nper = "second"', 'usd = "0.1"\nper = "second"\nsound = false'
    )

    rules = files.load(write(tmp_path, own))["apimart"].models["some-video-2"]

    assert rules.cost(JobSpec(model="some-video-2", prompt="a corgi")) is None


def test_a_neutral_name_is_answered_under_its_condition(tmp_path: Path) -> None:
    own = NEW + NEW.split("\n", 2)[2].replace("some-video-2", "some-video-3").replace("without first", "with first")
    models = files.load(write(tmp_path, own))["apimart"].models

    found = [find_rules(models, JobSpec(model="some-video", first_frame=frame)) for frame in (None, FRAME)]

    assert [rules and rules.name for rules in found] == ["some-video-2", "some-video-3"]


def test_a_users_file_changes_a_shipped_field_and_leaves_the_others(tmp_path: Path) -> None:
    own = 'provider = "apimart"\n[models."kling-3.0-turbo".fields]\nprompt = { characters = 4000 }\n'

    rules = files.load(write(tmp_path, own))["apimart"].models["kling-3.0-turbo"]

    shipped = files.shipped()["apimart"].models["kling-3.0-turbo"]
    assert rules.fields["prompt"].characters == 4000
    assert {**rules.fields, "prompt": None} == {**shipped.fields, "prompt": None}


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    write(tmp_path, NEW, "a.toml")
    write(tmp_path, NEW.replace("apimart", "evolink"), "b.toml")

    found = files.load(str(tmp_path))

    assert [name for name, entry in found.items() if "some-video-2" in entry.models] == ["apimart", "evolink"]


def test_all_problems_are_told_at_once_by_file_and_key(tmp_path: Path) -> None:
    write(tmp_path, "provider = [", "a.toml")
    write(tmp_path, 'provider = "nobody"', "b.toml")
    bad = (
        NEW.replace('"image_urls[1]"', '"image_urls[x]"')
        .replace("read = 2026-12-01\nanswers", 'read = "soon"\nanswers')
        .replace("characters = 100", "charackters = 100")
    )
    write(tmp_path, bad, "c.toml")
    write(tmp_path, NEW.replace("apimart", "evolink").replace("default = 5", "default = 7"), "d.toml")

    told = problems_of(str(tmp_path))

    where = "models.some-video-2"
    assert [problem.partition(" ")[0] for problem in told] == [
        "a.toml:",
        "b.toml:",
        "c.toml:",
        "c.toml:",
        "c.toml:",
        "d.toml:",
    ]
    keys = ["fields.prompt.charackters", "fields.last_frame.wire", "read", "fields.duration.default"]
    assert all(any(f" {where}.{key}: " in problem for problem in told) for key in keys), told


def test_fields_are_checked_against_each_other(tmp_path: Path) -> None:
    own = (
        NEW.replace('wire = "audio", type = "on_off"', 'wire = "seed", type = "string"')
        .replace("values = [5, 10], default = 5", "values = [5, 10], default = 7")
        .replace('needs = [["prompt", "first_frame"]]', 'needs = [["prompt", "watermark"]]')
        .replace('"without first_frame"', '"sometimes"')
    )

    told = problems_of(write(tmp_path, own))

    assert sorted(told) == [
        "mine.toml: models.some-video-2.answers_to.some-video: must be always, or such as with first_frame, "
        "without first_frame",
        "mine.toml: models.some-video-2.fields.duration.default: is not among what it takes, 5, 10",
        "mine.toml: models.some-video-2.fields.sound.type: must be boolean or on_off for sound",
        "mine.toml: models.some-video-2.fields: seed is the place of two of them on the wire",
        "mine.toml: models.some-video-2.needs: names watermark, which is not among its fields",
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff", "is not UTF-8"),
        (b"x = " + b"[" * 5000, "is not TOML|is nested too deep"),
        (b'provider = "apimart"\nmodels = 5', "models: must be tables"),
        (b'provider = "apimart"\nmodels.a = 5', "models.a.*must be a table"),
        (b'provider = "apimart"\nabout.title = "mine"', "about: is not a key here"),
        (b'provider = "apimart"\n[models.""]', "a model's name has 1 to 100"),
        (b"#" * (files.FILE_BYTES + 1), "is over 4 MiB"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused_in_one_line(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(content)

    told = problems_of(str(tmp_path / "mine.toml"))

    assert all("\n" not in problem for problem in told)
    with pytest.raises(SettingsError, match=why):
        files.load(str(tmp_path / "mine.toml"))


def test_a_path_that_is_not_there_is_told_by_its_variable(tmp_path: Path) -> None:
    assert problems_of(str(tmp_path / "nowhere.toml")) == (
        f"CALLSHEET_CATALOGUE: {tmp_path}/nowhere.toml cannot be read (No such file or directory)",
    )
    assert problems_of(str(tmp_path))[0].startswith("CALLSHEET_CATALOGUE names a folder without a .toml file")


def test_what_is_shipped_is_read_without_a_problem() -> None:
    shipped: dict[str, ProviderEntry] = dict(files.shipped())

    assert {"gmicloud", "evolink", "apimart"} <= set(shipped)
