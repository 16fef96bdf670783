"""Writes a trained model as a Hugging Face folder, with its model card."""
import json
import pathlib
import shutil
import tarfile

import torch
from safetensors.torch import save_file

from . import corpus, mamba1

CHAT_TEMPLATE = pathlib.Path(__file__).with_name("chat_template.jinja")
# Parameters of the recurrence stay float32: they are few and enter exponentials.
FLOAT32_SUFFIXES = ("A_log", "D", "dt_bias")


def round_weights(model):
    """Rounds to bfloat16 in place what the file will hold as bfloat16."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith(FLOAT32_SUFFIXES):
                parameter.copy_(parameter.bfloat16())


def config_of(shape, eos):
    common = {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.d_model,
        "state_size": shape.d_state,
        "num_hidden_layers": shape.n_layer,
        "layer_norm_epsilon": shape.norm_eps,
        "expand": shape.expand,
        "conv_kernel": shape.d_conv,
        "use_bias": False,
        "use_conv_bias": True,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "residual_in_fp32": True,
        "time_step_min": mamba1.DT_RANGE[0],
        "time_step_max": mamba1.DT_RANGE[1],
        "time_step_floor": mamba1.DT_RANGE[0],
        "rescale_prenorm_residual": False,
        "use_cache": True,
        "bos_token_id": corpus.END_OF_TEXT_ID,
        "eos_token_id": eos,
        "pad_token_id": corpus.END_OF_TEXT_ID,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }
    if isinstance(shape, mamba1.Shape):
        return {"architectures": ["MambaForCausalLM"], "model_type": "mamba", "intermediate_size": shape.d_inner,
                "time_step_rank": shape.dt_rank, "time_step_scale": 1.0, "time_step_init_scheme": "random", **common}
    return {"architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2", "num_heads": shape.n_heads,
            "head_dim": shape.head_dim, "n_groups": 1, "chunk_size": 64, "rms_norm": True, **common}


def generation_config(eos):
    token = corpus.END_OF_TEXT_ID
    return {"bos_token_id": token, "eos_token_id": eos, "pad_token_id": token,
            "do_sample": True, "temperature": 0.8, "top_p": 0.95}


def tokenizer_config(tokenizer):
    token = corpus.END_OF_TEXT
    options = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "add_bos_token": False,
        "added_tokens_decoder": {str(tokenizer.token_to_id(t)): {"content": t, **options}
                                 for t in (token, *corpus.TURN_MARKERS)},
        "bos_token": token,
        "eos_token": token,
        "pad_token": token,
        "unk_token": token,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1000000000,
    }


def write_folder(folder, model, tokenizer, log_lines, report):
    """Weights rounded to what the file holds. `report` is a dict of what was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for key, parameter in model.state_dict().items():
        dtype = torch.float32 if key.endswith(FLOAT32_SUFFIXES) else torch.bfloat16
        tensors[key] = parameter.detach().to(dtype).cpu().contiguous()
    weights = folder / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # save_file makes it private to its owner
    tokenizer.save(str(folder / "tokenizer.json"))
    shutil.copyfile(CHAT_TEMPLATE, folder / "chat_template.jinja")
    eos = corpus.end_ids(tokenizer)
    for file, content in (("config.json", config_of(model.shape, eos)), ("generation_config.json", generation_config(eos)),
                          ("tokenizer_config.json", tokenizer_config(tokenizer)), ("training.json", report)):
        (folder / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "training_log.csv").write_text("\n".join(log_lines) + "\n", encoding="utf-8")


def pack(folder, file):
    """The folder as one .tar; never a half-written one."""
    partial = file.with_suffix(".partial")
    with tarfile.open(partial, "w") as archive:
        archive.add(folder, arcname=folder.name)
    partial.replace(file)


def load_weights(model, folder):
    """Embeddings that the file lacks, those of tokens added since, keep what they start with."""
    from safetensors.torch import load_file

    tensors = {k: v.float() for k, v in load_file(pathlib.Path(folder) / "model.safetensors").items()}
    known, own = tensors["backbone.embeddings.weight"], model.backbone.embeddings.weight.detach()
    tensors["backbone.embeddings.weight"] = torch.cat([known, own[len(known) :].to(known.device)])
    model.load_state_dict(tensors)
