import json
import subprocess
import sys

import pytest
from safetensors import safe_open

from text2earth.zoo import ZOO


def test_the_table_names_every_model_and_waits_for_no_torch(run):
    status, out, _ = run("zoo")
    assert status == 0 and [line.split()[0] for line in out.splitlines()[1 : len(ZOO) + 1]] == list(ZOO)
    code = "import sys; sys.argv = ['text2earth', 'zoo']; from text2earth import cli\ntry:\n cli.main()\n"
    code += "finally:\n assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_one_model_is_told_in_full(run):
    status, out, _ = run("zoo", "text2earth")
    assert status == 0 and "1,292,002,987" in out and "Apache-2.0" in out
    assert "sha256 of unet/diffusion_pytorch_model.safetensors: 3f2228d1" in out
    models = json.loads(run("zoo", "--json")[1])["models"]
    (model,) = [each for each in models if each["name"] == "text2earth"]
    assert model["memory_gib"] == {"float16": 2.41, "float32": 4.81}
    assert (model["status"], model["hub"], model["revision"]) == ("on hub", "lcybuaa/Text2Earth", None)


def test_convert_there_and_back(run, model_folder, tmp_path):
    single = tmp_path / "model.safetensors"
    status, out, err = run("convert", model_folder, single, "--dtype", "float16", "--json")
    assert status == 0, err
    assert set(json.loads(out)["dtypes"].values()) == {"float16"}
    with safe_open(single, framework="pt") as file:
        assert "model.diffusion_model.label_emb.0.0.weight" in file.keys()  # noqa: SIM118
    status, out, _ = run("convert", single, tmp_path / "back", "--layout", "stable-diffusion")
    assert status == 0 and f"wrote {tmp_path / 'back'} (stable-diffusion: vae " in out
    index = json.loads((tmp_path / "back" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("zoo", "text3earth"), 2, "the zoo has no model 'text3earth'"),
        (("zoo", "--fetch"), 2, "--fetch was given without a model"),
        (("zoo", "git-rsclip", "--fetch"), 1, "hf download lcybuaa/Git-RSCLIP --include"),
        (("convert", "none.ckpt", "new"), 2, "there is no none.ckpt"),
        (("convert", "nowhere", "new"), 2, "there is no folder 'nowhere'"),
    ],
)
def test_a_wrong_request_is_one_message(run, tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    found, _, err = run(*arguments)
    assert found == status and message in err and "Traceback" not in err
