"""What a configuration may say, and what its author reads when it says something else."""

from __future__ import annotations

import logging
import os
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

import backends
from chatlab.config.load import load_config
from chatlab.config.models import Config
from chatlab.errors import ConfigError

Load = Callable[[str], Config]


@pytest.fixture(autouse=True)
def sample_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends.KINDS, "sample", "tests.config.kind:SampleBackend")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str) -> Config:
        Path("c.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
        return load_config(Path("c.yaml"))

    return write_and_load


@pytest.fixture
def problems(load: Load) -> Callable[[str], list[str]]:
    def of(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        return caught.value.problems

    return of


Problems = Callable[[str], list[str]]


def test_a_whole_configuration_becomes_its_models(load: Load) -> None:
    config = load(
        """\
        version: 1
        default: two
        system: Be brief.
        backends:
          one: {kind: echo}
          two:
            kind: sample
            label: Two
            model: m
            api_key: {env: SOME_KEY}
            parameters: {temperature: 1, seed: 3, stop: [a], logprobs: true, effort: low, extra: {a: [1]}}
            prices: {input: 1, output: 2.5}
            timeouts: {idle: 5}
        ui:
          title: Hello
          labels: {submit: Go}
          presets: {warm: {parameters: {temperature: 1.5}}}
        """
    )
    two = config.backends["two"]
    assert list(config.backends) == ["one", "two"]
    assert (config.default, config.system, config.ui.title) == ("two", "Be brief.", "Hello")
    assert (two.kind, two.label, two.options.model) == ("sample", "Two", "m")
    assert two.parameters["extra"] == {"a": [1]}
    assert two.prices is not None
    assert two.prices.output == 2.5
    assert (two.timeouts.idle, two.timeouts.connect) == (5, 10)


def test_models_cannot_be_changed(load: Load) -> None:
    config = load("backends: {one: {kind: echo}}")
    with pytest.raises(ValueError, match="frozen"):
        config.backends["one"].label = "x"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        config.ui.title = "x"  # type: ignore[misc]


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(problems: Problems) -> None:
    assert problems(
        """\
        defualt: one
        backends:
          one:
            kind: sample
            modle: m
            api: responces
            label: 3
            timeouts: {conect: 3, total: -1}
            parameters: {temprature: 1, temperature: 9, seed: 1.5, effort: lo}
          two:
            kind: sampel
            retries: many
          three: {knid: echo}
          one: {kind: echo}
        ui:
          labels: {sumbit: go}
          examples: [{text: a, files: [nope.png]}]
        """
    ) == [
        "c.yaml:1:1: defualt: unknown key, did you mean default?",
        "c.yaml:5:5: backends.one.modle: unknown key, did you mean model?",
        "c.yaml:6:10: backends.one.api: should be one of chat, responses, did you mean responses?",
        "c.yaml:7:12: backends.one.label: should be text: put it in quotes",
        "c.yaml:8:16: backends.one.timeouts.conect: unknown key, did you mean connect?",
        "c.yaml:8:34: backends.one.timeouts.total: should be more than 0",
        "c.yaml:11:11: backends.two.kind: unknown kind 'sampel', did you mean sample? the kinds are "
        "databricks, echo, huggingface, langchain, openai, replay, sample",
        "c.yaml:12:14: backends.two.retries: should be a whole number",
        "c.yaml:13:11: backends.three.knid: unknown key, did you mean kind?",
        "c.yaml:14:3: backends.one: duplicate key, first on line 3",
        "c.yaml:16:12: ui.labels.sumbit: unknown key, did you mean submit?",
        "c.yaml:17:32: ui.examples[0].files[0]: there is no such file",
    ]


def test_parameters_are_checked_against_what_the_kind_declares(problems: Problems) -> None:
    assert problems(
        """\
        backends:
          one:
            kind: sample
            model: m
            parameters:
              temprature: 1
              temperature: 2.5
              seed: 1.5
              effort: medium
              stop: [1]
              logprobs: "yes"
        """
    ) == [
        "c.yaml:6:7: backends.one.parameters.temprature: unknown parameter, did you mean temperature?",
        "c.yaml:7:20: backends.one.parameters.temperature: should be at most 2",
        "c.yaml:8:13: backends.one.parameters.seed: should be a whole number",
        "c.yaml:9:15: backends.one.parameters.effort: should be one of low, high",
        "c.yaml:10:13: backends.one.parameters.stop: should be a list of texts",
        "c.yaml:11:17: backends.one.parameters.logprobs: should be true or false",
    ]


def test_parameters_are_checked_beside_mistakes_in_the_options(problems: Problems) -> None:
    found = problems(
        """\
        backends:
          one:
            kind: sample
            model: m
            low: none
            parameters: {temprature: 1}
        """
    )
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "backends.one.low",
        "backends.one.parameters.temprature",
    ]


def test_a_preset_is_wrong_only_where_no_backend_takes_it(load: Load, problems: Problems) -> None:
    text = """\
        backends:
          one: {{kind: sample, model: m}}
          two: {{kind: echo}}
        ui:
          presets:
            p: {{parameters: {{{}}}}}
        """
    assert load(text.format("max_tokens: 5, temperature: 1")).ui.presets["p"].parameters["max_tokens"] == 5
    assert problems(text.format("temprature: 1, seed: x")) == [
        "c.yaml:6:22: ui.presets.p.parameters.temprature: unknown parameter, did you mean temperature?",
        "c.yaml:6:43: ui.presets.p.parameters.seed: should be a whole number",
    ]


def test_an_example_is_held_to_the_backend_that_it_names(load: Load, problems: Problems) -> None:
    text = """\
        backends:
          one: {{kind: sample, model: m}}
          two: {{kind: echo}}
        ui:
          examples:
            - {{text: Hello, backend: {}, parameters: {{{}}}}}
        """
    (example,) = load(text.format("two", "max_tokens: 5")).ui.examples
    assert (example.backend, dict(example.parameters)) == ("two", {"max_tokens": 5})
    assert problems(text.format("tow", "max_tokens: 5")) == [
        "c.yaml:6:30: ui.examples[0].backend: no backend has this name, did you mean two?"
    ]
    assert problems(text.format("two", "temperature: 1")) == [
        "c.yaml:6:48: ui.examples[0].parameters.temperature: unknown parameter: there are max_tokens, rate"
    ]


def test_lanes_name_backends_or_addresses(load: Load, problems: Problems) -> None:
    text = "backends: {{one: {{kind: echo}}}}\ncompare: {{lanes: [one, 'echo:', {}]}}"
    assert len(load(text.format("{backend: one, label: two}")).compare.lanes) == 3
    assert problems(text.format("oen")) == [
        "c.yaml:2:33: compare.lanes[2]: no backend has this name, did you mean one?"
    ]
    assert problems(text.format("{backend: xyz}")) == [
        "c.yaml:2:43: compare.lanes[2].backend: no backend has this name: there are one"
    ]


def test_allowed_hosts_are_hosts(load: Load, problems: Problems) -> None:
    text = "backends: {{one: {{kind: echo}}}}\nui: {{allowed_hosts: [{}]}}"
    hosts = ("example.org", "example.org:8080", "*.example.org")
    assert load(text.format(", ".join(f"'{host}'" for host in hosts))).ui.allowed_hosts == hosts
    for wrong in ("https://example.org", "example.org/pictures", "''"):
        assert problems(text.format(wrong)) == [
            "c.yaml:2:21: ui.allowed_hosts: hosts are names, such as example.org, example.org:8080 "
            "or *.example.org"
        ]


def test_the_default_names_a_backend(problems: Problems) -> None:
    text = "default: {}\nbackends: {{one: {{kind: echo}}, other: {{kind: echo}}}}"
    assert problems(text.format("oen")) == [
        "c.yaml:1:10: default: no backend has this name, did you mean one?"
    ]
    assert problems(text.format("xyz")) == [
        "c.yaml:1:10: default: no backend has this name: there are one, other"
    ]


def test_a_kind_that_is_missing_lists_the_kinds(problems: Problems) -> None:
    (problem,) = problems("backends: {one: {label: x}}")
    assert problem.startswith("c.yaml:1:17: backends.one: kind is missing: the kinds are databricks, echo, ")


def test_a_rule_over_several_options_is_reported_at_the_entry(problems: Problems) -> None:
    assert problems("backends:\n  one: {kind: sample, model: m, low: 10}") == [
        "c.yaml:2:8: backends.one: low is more than high"
    ]


def test_in_a_union_the_branch_that_was_meant_is_reported(problems: Problems) -> None:
    assert problems("backends: {one: {kind: sample, model: m, tool: {nmae: x}}}") == [
        "c.yaml:1:49: backends.one.tool.nmae: unknown key, did you mean name?"
    ]
    assert problems("backends: {one: {kind: sample, model: m, tool: [x]}}") == [
        "c.yaml:1:48: backends.one.tool: should be a mapping (key: value), or should be text"
    ]


def test_of_several_branches_the_misspelt_one_is_reported(problems: Problems) -> None:
    start = "backends: {one: {kind: huggingface, model: m, task: text-generation, template: "
    assert problems(start + "{jinj: x}}}") == [
        "c.yaml:1:81: backends.one.template.jinj: unknown key, did you mean jinja?"
    ]
    start = "backends: {one: {kind: databricks, endpoint: e, auth: "
    assert problems(start + "{type: profil, profile: x}}}") == [
        "c.yaml:1:55: backends.one.auth: type should be one of pat, oauth-m2m, profile, user, "
        "did you mean profile?"
    ]
    assert problems(start + "{profile: x}}}") == ["c.yaml:1:55: backends.one.auth: type is missing"]


def test_numbers_written_the_yaml_1_2_way_are_numbers(load: Load) -> None:
    config = load("backends: {one: {kind: sample, model: m, parameters: {temperature: 1e-1, extra: '1e-1'}}}")
    assert config.backends["one"].parameters == {"temperature": 0.1, "extra": "1e-1"}


def test_keys_are_text_as_written(load: Load) -> None:
    config = load("backends: {on: {kind: echo}, 1: {kind: echo}, 2024-01-01: {kind: echo}}")
    assert list(config.backends) == ["on", "1", "2024-01-01"]


def test_anchors_and_merge_keys_work_and_are_no_duplicates(load: Load) -> None:
    config = load(
        """\
        x-common: &common
          kind: sample
          model: shared
          timeouts: {idle: 3}
        x-slow: &slow {retries: 0, model: slow}
        backends:
          one: {<<: *common, model: own}
          two: {<<: [*common, *slow]}
          three: &three {<<: *slow, kind: sample}
          four: *three
        """
    )
    models = {name: backend.options.model for name, backend in config.backends.items()}
    assert models == {"one": "own", "two": "shared", "three": "slow", "four": "slow"}
    assert config.backends["one"].timeouts.idle == 3
    assert [backend.retries for backend in config.backends.values()] == [2, 0, 0, 0]


def test_a_mistake_in_what_is_merged_is_reported_where_it_is_written(problems: Problems) -> None:
    assert problems(
        """\
        x-common: &common
          modle: x
        backends:
          one: {<<: *common, kind: sample, model: m}
          two: {<<: *common, <<: *common, kind: sample, model: m}
          three: {<<: 3, kind: echo}
        """
    ) == [
        "c.yaml:2:3: backends.one.modle: unknown key, did you mean model?",
        "c.yaml:2:3: backends.two.modle: unknown key, did you mean model?",
        "c.yaml:5:22: backends.two.<<: duplicate key, first on line 5: merge several with <<: [*one, *two]",
        "c.yaml:6:15: backends.three.<<: only a mapping can be merged",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "c.yaml:1:1: is empty: a configuration has at least the key backends"),
        ("# only a comment\n", "c.yaml:1:1: is empty: a configuration has at least the key backends"),
        ("[1, 2]", "c.yaml:1:1: is not a mapping: a configuration has at least the key backends"),
        ("hello", "c.yaml:1:1: is not a mapping: a configuration has at least the key backends"),
        ("{}", "c.yaml:1:1: backends: is missing"),
        ("backends:", "c.yaml:1:10: backends: has no value: it should be a mapping (key: value)"),
        ("backends: {}", "c.yaml:1:11: backends: should have at least 1 of them"),
        (
            "backends: {a: x}",
            "c.yaml:1:15: backends.a: should be a mapping (key: value) with at least the key kind",
        ),
        (
            "backends: {a b: {kind: echo}}",
            "c.yaml:1:12: backends.a b: a name has letters, digits, '.', '_' and '-' only",
        ),
        (
            "backends: {a: {kind: echo, rate: .nan}}",
            "c.yaml:1:34: backends.a.rate: is not a number that can be used",
        ),
        ("backends: {a: {kind: echo}}\nversion: 2", "c.yaml:2:10: version: should be 1"),
        ("a: 1\n---\nb: 2", "c.yaml:2:1: is not YAML: but found another document"),
        ("backends:\n\ta: 1", "c.yaml:2:1: is not YAML: found character '\\t' that cannot start any token"),
        ("backends: {a: {kind: echo, label: a\0b}}", "c.yaml:1:36: has a character that YAML does not allow"),
        ("a: &a [*a]\nbackends: {}", "c.yaml:1:4: has an alias inside of what it stands for"),
        ("a: &a {<<: *a}\nbackends: {}", "c.yaml:1:4: has an alias inside of what it stands for"),
        ("[" * 5000, "c.yaml:1:1: is nested too deeply"),
        (
            "backends: !!python/object/apply:os.system [echo]",
            "c.yaml:1:11: backends: has a YAML tag: only plain values are read",
        ),
        ("backends: {[a]: 1, b: {kind: echo}}", "c.yaml:1:12: backends: a key must be text"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_sentence(problems: Problems, text: str, said: str) -> None:
    assert problems(text)[0].startswith(said)


def test_no_text_of_a_tag_is_run(problems: Problems, tmp_path: Path) -> None:
    problems("backends: !!python/object/apply:os.mkdir [made]")
    assert not (tmp_path / "made").exists()


def test_aliases_cannot_multiply_without_bound(problems: Problems) -> None:
    lines = ["x-0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (problem,) = problems("\n".join([*lines, "backends: {a: {kind: echo}}"]))
    assert problem.endswith("has too many values, or aliases that multiply")
    merged = ["x-0: &a0 {a: 1}"]
    merged += [f"x-{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    (problem,) = problems("\n".join([*merged, "backends: {a: {kind: echo}}"]))
    assert problem.endswith("has too many values, or aliases that multiply")
    (problem,) = problems("x-0:\n" + "- a\n" * 30_000)
    assert problem.startswith("c.yaml:20000:1: has too many values")


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def said(path: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert caught.value.__cause__ is None
        return caught.value.problems

    assert said("none.yaml") == ["none.yaml: there is no such file"]
    Path("folder").mkdir()
    assert said("folder") == ["folder: is a folder, not a configuration file"]
    Path("latin.yaml").write_bytes("backends: {}\n# é".encode("latin-1"))
    assert said("latin.yaml") == ["latin.yaml:2:1: is not UTF-8 text: save it as UTF-8"]
    Path("big.yaml").write_bytes(b"#" * 500_001)
    assert said("big.yaml") == ["big.yaml: is larger than 500 kB, which no configuration file is"]
    assert said("a\0b") == ["a\0b: cannot be read: its name is not one"]
    assert said("folder/none/c.yaml") == ["folder/none/c.yaml: there is no such file"]


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"\xef\xbb\xbfbackends: {a: {kind: echo}}")
    assert list(load_config(file).backends) == ["a"]


def test_relative_paths_start_at_the_file_wherever_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "cat.png").write_bytes(b"")
    (there / "c.yaml").write_text(
        "backends: {a: {kind: sample, model: m, recording: r/one.jsonl, api_key: {file: key.txt}}}\n"
        "ui: {examples: [{text: hi, files: [cat.png], icon: cat.png}], avatars: [cat.png, null],"
        " css: cat.png}\n"
    )
    monkeypatch.chdir(tmp_path)
    config = load_config("there/c.yaml")
    monkeypatch.chdir("/")
    options = config.backends["a"].options
    assert options.recording == there / "r/one.jsonl"
    assert options.folder == there
    assert options.api_key.file == there / "key.txt"
    assert config.ui.examples[0].files == (there / "cat.png",)
    assert config.ui.examples[0].icon == config.ui.css == there / "cat.png"
    assert config.ui.avatars == (there / "cat.png", None)


def test_an_avatar_of_the_web_is_at_a_host_that_is_allowed(load: Load, problems: Problems) -> None:
    text = "backends: {{a: {{kind: echo}}}}\nui: {{avatars: [null, 'https://{}/a.png'], allowed_hosts: {}}}"
    for host, allowed in (("cdn.example.org", "['*.example.org']"), ("a.example:81", "['a.example:81']")):
        assert load(text.format(host, allowed)).ui.avatars == (None, f"https://{host}/a.png")
    (problem,) = problems(text.format("evil.example", "[example.org]"))
    assert problem.endswith("an avatar's address is at one of ui.allowed_hosts: add its host there")


@pytest.mark.parametrize(
    "where", ["css: no.css", "head: no.html", "favicon: no.ico", "avatars: [no.png, null]"]
)
def test_a_file_of_the_page_that_is_not_there_is_said(problems: Problems, where: str) -> None:
    (problem,) = problems(f"backends: {{a: {{kind: echo}}}}\nui: {{{where}}}")
    assert problem.endswith("there is no such file")


def test_a_tilde_is_the_home_folder(load: Load, problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    text = "backends: {{a: {{kind: sample, model: m, recording: {}/r.jsonl}}}}"
    assert load(text.format("~")).backends["a"].options.recording == Path("/home/someone/r.jsonl")
    (problem,) = problems(text.format("~nosuchperson"))
    assert problem.endswith("names the home folder of a person this system does not know")


LITERAL = "hunter2-correct-horse"


@pytest.mark.parametrize(
    "written",
    [
        f"api_key: {LITERAL}",
        f"api_key: [{LITERAL}]",
        f"api_key: {{{LITERAL}}}",
        f"api_key: {{{LITERAL}: 1, {LITERAL}: 2}}",
        f"api_key: {{env: {LITERAL}}}",
        f"api_key: {{env: A, file: {LITERAL}}}",
        f"api_key: {{env: [{LITERAL}]}}",
        f"api_key: {{value: {LITERAL}}}",
        f"api_key: *{LITERAL}",
        f"api_key: !{LITERAL} x",
        f"api_key: {LITERAL}: x",
        f"api_kye: {LITERAL}",
        f"api_key {LITERAL}",
        f"headers: {{Authorization: [{LITERAL}]}}",
        f"headers: {{Authorization: {{{LITERAL}: 1}}}}",
        f"api_key: '{LITERAL}",
        f"recording: [{LITERAL}]",
    ],
)
def test_a_literal_secret_is_refused_and_never_repeated(load: Load, written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"backends:\n  one:\n    kind: sample\n    model: m\n    {written}\n")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    record = logging.LogRecord("x", 40, "f", 1, "%s", (caught.value,), (ConfigError, caught.value, None))
    assert LITERAL not in shown + logging.Formatter().format(record)
    assert all(problem.startswith("c.yaml:") for problem in caught.value.problems)


def test_a_literal_secret_is_told_what_to_write_instead(problems: Problems) -> None:
    assert problems(f"backends: {{one: {{kind: sample, model: m, api_key: {LITERAL}}}}}") == [
        "c.yaml:1:51: backends.one.api_key: a secret is given by reference, {env: NAME} or {file: PATH}, "
        "never literally"
    ]


@pytest.mark.parametrize(
    "credential",
    [
        "sk-" + "a1B2" * 8,
        "hf_" + "a1B2" * 8,
        "dapi" + "0a1b" * 8,
        "https://me:" + "pass1234" + "@example.org",
    ],
)
def test_what_is_plainly_a_credential_is_refused_wherever_it_stands(
    problems: Problems, credential: str
) -> None:
    (problem,) = problems(f"backends: {{one: {{kind: sample, model: m, headers: {{x: '{credential}'}}}}}}")
    assert problem.startswith("c.yaml:1:55: backends.one.headers.x: a secret is given by reference")
    assert credential not in problem


def test_a_secret_is_readable_only_when_it_is_used(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", LITERAL)
    config = load("backends: {one: {kind: sample, model: m, api_key: {env: SOME_KEY}}}")
    assert LITERAL not in repr(config) + str(config) + config.model_dump_json()
    assert config.backends["one"].options.api_key.resolve().get_secret_value() == LITERAL


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.touch(mode=0o000)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load_config(file)
