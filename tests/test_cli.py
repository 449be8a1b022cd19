"""The command line trains, goes on, tests, and says what is wrong in one sentence."""

import json

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from mamlkit.cli import COMMAND, main


def mamlkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_train_writes_parameters_and_card(tmp_path):
    settings = ["--iterations", 20, "--seed", 3, "--out", tmp_path / "new"]
    result = mamlkit("train", "sinusoid-maml", *settings)
    assert result.exit_code == 0, result.output
    assert "after 10 steps" in result.output
    card = json.loads((tmp_path / "new" / "sinusoid-maml.json").read_text())
    assert card["seed"] == 3 and card["training"]["iterations"] == 20
    assert (tmp_path / "new" / "sinusoid-maml.safetensors").is_file()


@pytest.mark.parametrize(
    "settings, message",
    [
        (["resnet"], "'resnet' is not one of"),
        (["sinusoid-maml", "--iterations", "0"], "iterations must be at least 1, got 0"),
        (["sinusoid-maml", "--seed", "-1"], "seed must be at least 0, got -1"),
    ],
)
def test_train_refuses_with_a_sentence(settings, message, tmp_path):
    result = mamlkit("train", *settings, "--out", tmp_path)
    assert result.exit_code != 0 and message in result.output
    assert "Traceback" not in result.output


SHORT = ("sinusoid-maml", "--quiet", "--compile", "no", "--device", "cpu")


def test_resume_goes_on_as_if_never_stopped(tmp_path):
    whole = mamlkit("train", *SHORT, "--iterations", 6, "--out", tmp_path / "whole")
    run, out = tmp_path / "run", tmp_path / "out"
    part = mamlkit("train", *SHORT, "--iterations", 4, "--out", out, "--checkpoint", run)
    assert part.exit_code == whole.exit_code == 0, part.output + whole.output
    rest = mamlkit("resume", run, "--iterations", 6, "--quiet")
    assert rest.exit_code == 0, rest.output
    expected, params = (
        load_file(at / "sinusoid-maml.safetensors") for at in (tmp_path / "whole", out)
    )
    assert params.keys() == expected.keys()
    assert all(params[name].equal(expected[name]) for name in expected)
    other = mamlkit("evaluate", "omniglot-5way-1shot", "--run", run)
    assert other.exit_code == 1 and "holds no checkpoint of omniglot-5way-1shot" in other.output
    test = mamlkit("evaluate", "sinusoid-maml", "--run", run)
    assert test.output == "".join(f"{x}\n" for x in rest.output.splitlines() if "after" in x)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"recipe": "sinusoid-maml"}'])
def test_resume_says_where_there_is_no_run(content, tmp_path):
    if content is not None:
        (tmp_path / COMMAND).write_text(content, encoding="utf8")
    result = mamlkit("resume", tmp_path)
    assert result.exit_code == 1 and "no run can be resumed" in result.output


def test_evaluate_says_where_there_is_no_checkpoint(tmp_path):
    result = mamlkit("evaluate", "sinusoid-maml", "--run", tmp_path)
    assert result.exit_code == 1 and "holds no checkpoint of sinusoid-maml" in result.output


def test_a_run_that_diverges_has_an_exit_code_of_its_own(tmp_path):
    result = mamlkit("train", *SHORT, "--iterations", 20, "--lr", 1e30, "--out", tmp_path)
    assert result.exit_code == 3 and result.output.startswith("Error: "), result.output


def test_tensorboard_gets_the_losses(tmp_path):
    pytest.importorskip("tensorboard")
    where = ["--tensorboard", tmp_path / "logs", "--out", tmp_path]
    result = mamlkit("train", *SHORT, "--iterations", 2, *where)
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "logs").glob("events*"))


def test_the_changed_keywords_of_fit_stand_on_the_card(tmp_path):
    changes = ["--optimizer", "sgd", "--lr", 0.01, "--schedule", "none", "--max-skipped", 1]
    result = mamlkit("train", *SHORT, "--iterations", 2, *changes, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "sinusoid-maml.json").read_text(encoding="utf8"))
    training = card["training"]
    assert training["optimizer"] == "SGD(lr=0.01)" and training["schedule"] is None
    assert training["max_skipped"] == 1 and "--max-skipped 1" in card["command"]


def test_data_finds_both_splits(omniglot):
    lines = mamlkit("data").output.splitlines()
    assert lines[0].startswith("background: 964 characters of 30 alphabets")
    assert lines[1].startswith("evaluation: 659 characters of 20 alphabets")
