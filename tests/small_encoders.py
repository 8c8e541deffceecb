"""Tiny encoders with random weights, saved in the layout in which the real ones are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

WORDS = (
    "satellite",
    "image",
    "of",
    "river",
    "forest",
    "fields",
    "town",
    "sea",
    "a",
    "the",
    "with",
    "near",
    "and",
    "in",
)


def save_clip(folder: Path, *, seed: int = 0, side: int = 32, width: int = 32, **vision: Any) -> Path:
    """A CLIP model with its tokenizer, as openai/clip-vit-base-patch32 stands on the hub."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.CLIPConfig(
        text_config={
            "vocab_size": 600,
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 77,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": side,
            "patch_size": 8,
            **vision,
        },
        projection_dim=24,
    )
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    settings = {
        "crop_size": side,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": side,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def clip_tokenizer() -> Any:
    """A byte-level BPE of 600 pieces, trained on a few captions."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=590,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
    )
    bpe.train_from_iterator([" ".join(WORDS)] * 4, trainer)
    said = json.loads(bpe.to_str())["model"]
    merges = [tuple(pair) if not isinstance(pair, str) else tuple(pair.split(" ")) for pair in said["merges"]]
    return transformers.CLIPTokenizer(vocab=said["vocab"], merges=merges)


def save_siglip(folder: Path, *, seed: int = 1, side: int = 32) -> Path:
    """A SigLIP model with a sentencepiece tokenizer, of the shape of Git-RSCLIP: 64 tokens, mean and std 0.5."""
    import sentencepiece
    import torch
    import transformers

    torch.manual_seed(seed)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.SiglipConfig(
        text_config={**tower, "vocab_size": 64, "max_position_embeddings": 64},
        vision_config={**tower, "image_size": side, "patch_size": 8},
    )
    transformers.SiglipModel(config).eval().save_pretrained(folder)
    corpus = folder / "corpus.tmp"
    corpus.write_text("\n".join([" ".join(WORDS), "rivers and forests", "a sea near the town"] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "spiece"),
        vocab_size=64,
        hard_vocab_limit=False,
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        minloglevel=2,
    )
    corpus.unlink()
    (folder / "spiece.vocab").unlink()
    transformers.SiglipTokenizer(vocab_file=str(folder / "spiece.model"), model_max_length=64).save_pretrained(folder)
    transformers.SiglipImageProcessorPil(size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def save_dinov2(folder: Path, *, seed: int = 2) -> Path:
    """A DINOv2 model: images of 28 px cut from the middle of 32."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).eval().save_pretrained(folder)
    processor = transformers.BitImageProcessorPil(
        size={"shortest_edge": 32},
        crop_size={"height": 28, "width": 28},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    processor.save_pretrained(folder)
    return folder


def save_vit(folder: Path, *, seed: int = 3) -> Path:
    """A ViT without the pooler, which no published one has trained."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    transformers.ViTModel(config, add_pooling_layer=False).eval().save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_resnet(folder: Path, *, seed: int = 4) -> Path:
    """A small ResNet."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", downsample_in_first_stage=False
    )
    transformers.ResNetModel(config).eval().save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def pictures(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """Made-up images of several sizes."""
    draws = np.random.default_rng(seed)
    sizes = [(256, 256), (90, 130), (40, 33), (20, 26)]
    found = []
    for number in range(count):
        height, width = sizes[number % len(sizes)]
        coarse = draws.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
        found.append(np.kron(coarse, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8))
    return found
