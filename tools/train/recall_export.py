"""Writes a trained recall model as a folder: weights, config, log, evaluation, model card."""
import json
import math

import torch
from safetensors.torch import save_file

from .recall_trainer import DILATED_FROM, LONGEST

TITLES = {"induction": "induction heads", "copying": "selective copying"}


def config_of(shape, kind):
    """The keys of Hugging Face's MambaConfig; `s4d` has the same keys under its own type."""
    config = {
        "architectures": ["MambaForCausalLM" if kind == "mamba" else "S4DForCausalLM"],
        "model_type": kind,
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.d_model,
        "state_size": shape.d_state,
        "num_hidden_layers": shape.n_layer,
        "layer_norm_epsilon": shape.norm_eps,
        "expand": shape.expand,
        "intermediate_size": shape.d_inner,
        "conv_kernel": shape.d_conv,
        "use_bias": False,
        "use_conv_bias": True,
        "hidden_act": "silu",
        "residual_in_fp32": True,
        "use_cache": True,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }
    if kind == "mamba":
        config |= {"time_step_rank": shape.dt_rank, "time_step_scale": 1.0, "time_step_min": 0.001,
                   "time_step_max": 0.1, "time_step_init_scheme": "random", "time_step_floor": 0.0001,
                   "initializer_range": 0.02, "rescale_prenorm_residual": False}
    return config


def task_text(job):
    task = job.task
    if job.base == "induction":
        return (f"Ids 0 to {task.ordinary - 1} are drawn at random; at a random place stands the special id "
                f"{task.special_id}, and the id after it is the answer. The last token is the special id again: the "
                f"logits after it should name the answer.")
    return (f"{task.answers} data ids (0 to {task.symbols - 1}) stand at random places among the noise id {task.noise_id}; then "
            f"follow {task.answers} markers ({task.marker_id}). After the i-th marker the logits should name the i-th data id. "
            f"The length counts the markers.")


def dilation_text(job):
    if job.kind != "mamba" or not job.dilated:
        return ""
    return (f"\n- Long memory was trained on these short sequences: in {job.dilated:.0%} of the sequences of {DILATED_FROM} tokens or more the step "
            f"sizes\n  of tokens that do not matter were multiplied by one random number, as if each had been repeated, so that a\n"
            f"  sequence stood for up to {LONGEST:,} tokens (`tools/train/dilation.py`). No sequence was longer than {job.lengths[-1]:,},\n"
            f"  but this is more than the paper's training, which had none of it.")


def accuracy_table(results, chance):
    rows = "\n".join(f"| 2^{int(math.log2(int(n)))} = {int(n):,} | {a:.2%} |" for n, a in results.items())
    return f"| length | right answers |\n|---|---|\n{rows}\n\nGuessing would be right {chance:.1%} of the time."


def card(job, facts):
    shape, f = job.shape, facts
    lti = job.kind == "s4d"
    what = ("The time-invariant twin: the same blocks, widths, convolution, gate and training, but the recurrence is\n"
            "an S4D (diagonal, complex, S4D-Lin initialisation, zero-order hold) whose A, C and step size do not depend on\n"
            "the input. Complex numbers in conjugate pairs, d_state / 2 per channel, so that both states have the same\n"
            "number of floats; complex modes rather than real ones because they are the stronger baseline: they can\n"
            "express delays and oscillations, so what the twin lacks is selectivity and nothing else."
            if lti else "A Mamba-1 of two layers, trained on one task from random weights.")
    return f"""---
license: cc0-1.0
tags: [{job.kind}, synthetic, {job.base}]
---
# {job.name}

{what}

Task ({TITLES[job.base]}; Gu and Dao, "Mamba", 2023, section 4.1). {task_text(job)}

| | |
|---|---|
| parameters | {f["parameters"]:,} |
| shape | d_model {shape.d_model}, n_layer {shape.n_layer}, d_inner {shape.d_inner}, d_state {shape.d_state}, d_conv {shape.d_conv} |
| vocabulary | {shape.vocab_size} ids, no tokenizer |
| weights | float32, head tied to the embedding |

## Results

{f["count"]} random sequences per length, drawn with a seed of their own, state carried through:

{accuracy_table(f["accuracy"], job.task.chance)}

## Training

- {f["steps"]:,} steps of {job.tokens:,} tokens, every batch drawn anew. Lengths join when the longest so far is answered
  {f["solved"]:.0%} right, or when their time has come; steps take turns among the last {job.mixed}. First step of each:
  {", ".join(f"{n} (step {s:,})" for n, s in f["joined"].items())}.{dilation_text(job)}
- AdamW (betas {f["betas"][0]} and {f["betas"][1]}, weight decay {job.weight_decay} on matrices), learning rate {job.learning_rate}, falling linearly over the
  last {1 - f["decay_from"]:.0%} of the time; gradient norm clipped at {f["clip"]}; float32; loss on the answers only. Seed {f["seed"]}.
- Hardware: {f["hardware"]}, shared with other work; {f["minutes"]:.1f} minutes. PyTorch {f["torch"]}.
- Made by `tools/train_demos.py`; `training_log.csv` has the course.

## Limits

It knows this task and nothing else.

## Licence

The data is generated. The weights and this card are dedicated to the public domain under CC0 1.0.
"""


def write_folder(folder, job, model, log, facts):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().float().cpu().contiguous() for k, v in model.state_dict().items()}
    partial = folder / "model.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.chmod(0o644)  # save_file makes it private to its owner
    partial.replace(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_of(job.shape, job.kind), indent=2) + "\n", encoding="utf-8")
    (folder / "training_log.csv").write_text("\n".join(log) + "\n", encoding="utf-8")
    (folder / "evaluation.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(job, facts), encoding="utf-8")


def read_weights(folder, model):
    """Loads what write_folder wrote."""
    from safetensors.torch import load_file

    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def hardware(device):
    return torch.cuda.get_device_name() if torch.device(device).type == "cuda" else "CPU"
