"""A run that is stopped, wherever and however, goes on as if it had not been: equal to the bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from twelve_steps import STEPS, twelve_steps

from text2earth.checkpoints import load_state, save_state
from text2earth.errors import InterruptedTraining, ModelError
from text2earth.training.loop import _Run

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def straight(small_tiles, tmp_path_factory):
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("straight")
    twelve_steps(small_tiles, folder)
    return folder


def assert_same_run(folder, other, *, step=STEPS - 2):
    """The last states agree in weights, optimiser, averages and counts, and so do the logs, line by line."""
    one, two = (load_state(each / "denoiser" / f"step-{step:08d}") for each in (folder, other))
    for part in ("weights", "ema", "powers"):
        found, wanted = getattr(one, part), getattr(two, part)
        assert found.keys() == wanted.keys() and len(found) > 50
        assert all(torch.equal(found[name], wanted[name]) for name in found), part
    assert one.optimizer["state"].keys() == two.optimizer["state"].keys()
    for number, moments in one.optimizer["state"].items():
        assert all(torch.equal(value, two.optimizer["state"][number][name]) for name, value in moments.items())
    assert one.progress == two.progress
    assert (folder / "log.jsonl").read_text() == (other / "log.jsonl").read_text()


@pytest.mark.parametrize("stop", [4, 5], ids=["at the edge of an epoch", "in its middle"])
def test_stopped_by_sigterm(straight, small_tiles, tmp_path, monkeypatch, stop):
    take = _Run._take

    def take_and_be_told(run, phase, micro_batches):
        taken = take(run, phase, micro_batches)
        if run.step == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(_Run, "_take", take_and_be_told)
        with pytest.raises(InterruptedTraining, match=f"stopped at step {stop} of 12 of stage denoiser"):
            twelve_steps(small_tiles, tmp_path, checkpoint_every=100)
    twelve_steps(small_tiles, tmp_path)
    assert_same_run(tmp_path, straight)


@pytest.mark.slow
def test_stopped_by_sigkill(straight, small_tiles, tmp_path):
    """Killed without warning after six steps, wherever it then was."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    script = [sys.executable, str(TESTS / "twelve_steps.py"), str(small_tiles), str(tmp_path)]
    with subprocess.Popen(script, env=environment, stderr=subprocess.DEVNULL) as run:
        log = tmp_path / "log.jsonl"
        while not log.exists() or log.read_text().count("\n") < 6:
            assert run.poll() is None
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    assert (tmp_path / "denoiser" / "step-00000004").is_dir()
    twelve_steps(small_tiles, tmp_path)
    assert_same_run(tmp_path, straight)


def test_a_state_of_another_shape_names_the_keys(straight, small_tiles, tmp_path):
    state = load_state(straight / "denoiser" / "step-00000002")
    weights = dict(state.weights)
    key = "unet.conv_in.weight"
    weights[key] = weights[key][:, :3]
    del weights["unet.conv_out.bias"]
    save_state(
        type(state)(weights, state.ema, state.optimizer, state.progress, state.powers), tmp_path / "denoiser", step=2
    )
    said = (
        r"step-00000002 is a checkpoint of another shape: unet\.conv_in\.weight: \(16, 3, 3, 3\) "
        r"in the checkpoint, \(16, 4, 3, 3\) in the model; "
        r"unet\.conv_out\.bias: missing in the checkpoint, \(4,\) in the model"
    )
    with pytest.raises(ModelError, match=said):
        twelve_steps(small_tiles, tmp_path)


def test_the_newest_states_are_kept_and_remains_of_kills_go(straight, tmp_path):
    state = load_state(straight / "denoiser" / "step-00000002")
    (tmp_path / "step-00000001.77.tmp").mkdir()
    for step in (2, 4, 6, 8):
        save_state(state, tmp_path, step=step, keep=2)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["step-00000006", "step-00000008"]
