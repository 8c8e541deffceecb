"""Tiny vision-language models with random weights, saved in the real format: LLaVA, Qwen-VL of three kinds, BLIP.

What they say is noise made of the words that their tokenizer knows; everything around it is real.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

WORDS = (
    "a satellite image shows fields and forest beside the river, with water in the north and roads between houses. "
    "the facts of the image: JSON object long short {} : , . sand bare ground farmland grassland built-up land"
)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}IMAGE{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(*, image: str, specials: tuple[str, ...] = ()) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE of 400 tokens, with a template for chats."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<|im_start|>", "<|im_end|>", image, *specials]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        [WORDS] * 50, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    )
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        eos_token="<|im_end|>",
        extra_special_tokens={"image_token": image},
    )
    wrapped = "".join((*specials[:1], image, *specials[1:2]))
    made.chat_template = TEMPLATE.replace("IMAGE", wrapped)
    return made


def text_sizes(vocabulary: int) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
    }


def save(model: transformers.PreTrainedModel, folder: Path) -> Path:
    model.generation_config.pad_token_id = 0
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    return folder


def write_llava(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    words = tokenizer(image="<image>")
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=64,
            patch_size=16,
        ),
        text_config=transformers.LlamaConfig(**text_sizes(len(words))),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    save(transformers.LlavaForConditionalGeneration(config), folder)
    side = {"height": 64, "width": 64}
    images = transformers.CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size=side)
    transformers.LlavaProcessor(
        image_processor=images,
        tokenizer=words,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=words.chat_template,
    ).save_pretrained(folder)
    return folder


def write_qwen(folder: Path, *, kind: str = "qwen2_vl", seed: int = 0) -> Path:
    torch.manual_seed(seed)
    words = tokenizer(image="<|image_pad|>", specials=("<|vision_start|>", "<|vision_end|>", "<|video_pad|>"))
    names = ("image", "video", "vision_start", "vision_end")
    marks = dict(zip(names, ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"), strict=True))
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(mark) for name, mark in marks.items()}
    text = {**text_sizes(len(words)), "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}}
    vision = {"depth": 2, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}
    if kind == "qwen2_vl":
        config = transformers.Qwen2VLConfig(
            text_config=text, vision_config={**vision, "embed_dim": 32, "hidden_size": 32}, **ids
        )
        model = transformers.Qwen2VLForConditionalGeneration(config)
    elif kind == "qwen2_5_vl":
        more = {"hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "fullatt_block_indexes": [1]}
        config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config={**vision, **more}, **ids)
        model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    else:
        text["head_dim"] = 8
        more = {"hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "deepstack_visual_indexes": [1]}
        config = transformers.Qwen3VLConfig(text_config=text, vision_config={**vision, **more, "patch_size": 16}, **ids)
        model = transformers.Qwen3VLForConditionalGeneration(config)
    save(model, folder)
    patch = 16 if kind == "qwen3_vl" else 14
    images = transformers.Qwen2VLImageProcessorPil(
        patch_size=patch, size={"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    )
    images.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def write_blip(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
    vocabulary += [*sorted({word.strip(".,:{}").lower() for word in WORDS.split()} - {""}), "."]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    words = transformers.BertTokenizer(str(folder / "vocab.txt"))
    ids = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.BlipConfig(
        text_config={**small, "vocab_size": len(vocabulary), "encoder_hidden_size": 32, "projection_dim": 32, **ids},
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    model = transformers.BlipForConditionalGeneration(config)
    model.generation_config.eos_token_id = 3
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    transformers.BlipImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    words.save_pretrained(folder)
    config_path = folder / "config.json"
    assert json.loads(config_path.read_text())["model_type"] == "blip"
    return folder
