#!/usr/bin/env python3
"""Speed of Hugging Face's MambaForCausalLM on the shapes of published models, with random weights in
bfloat16, and of a large matrix product, for tools/gpu_check. Prints a JSON object a line, as soon as
it is known. Exit code 3: PyTorch or transformers is missing.

    tools/gpu/time_transformers.py [--device cuda:0] [--sizes 130m,370m]
"""

import argparse
import importlib.util
import inspect
import json
import statistics
import sys
import time

SIZES = {"130m": (768, 24), "370m": (1024, 48), "tiny": (64, 2)}
DECODED = 64
PROMPTS = [512, 2048]


def emit(**values):
    print(json.dumps(values), flush=True)


def seconds(torch, device, work, repetitions=3):
    """Median after one run that is not counted."""
    times = []
    for turn in range(repetitions + 1):
        if device != "cpu":
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize(device)
        if turn:
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def matrix_tflop_s(torch, device):
    size = 8192 if device != "cpu" else 256
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    b = torch.randn(size, size, device=device, dtype=torch.bfloat16)

    def products():
        for _ in range(10):
            torch.matmul(a, b)
    return 10 * 2 * size**3 / seconds(torch, device, products) * 1e-12


def time_model(torch, transformers, device, size):
    d_model, n_layer = SIZES[size]
    config = transformers.MambaConfig(hidden_size=d_model, num_hidden_layers=n_layer,
                                      vocab_size=50280, state_size=16, eos_token_id=None,
                                      pad_token_id=0, bos_token_id=0)
    torch.manual_seed(1)
    model = transformers.MambaForCausalLM(config).to(device=device, dtype=torch.bfloat16).eval()
    name = f"mamba-{size}"
    prompt = torch.randint(1, 50000, (1, 16), device=device)

    def generate(count):
        model.generate(prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False,
                       use_cache=True)
    decoded = DECODED if size != "tiny" else 8
    one = seconds(torch, device, lambda: generate(1), 2)
    many = seconds(torch, device, lambda: generate(1 + decoded), 2)
    emit(model=name, dtype="bf16", n_prompt=0, n_gen=decoded, batch=1,
         tok_s=round(decoded / (many - one), 1))
    # krait computes the logits of the last token only; so may the model, if it can be told.
    last = "logits_to_keep" in inspect.signature(model.forward).parameters
    more = {"logits_to_keep": 1} if last else {}
    for length in PROMPTS if size != "tiny" else [16]:
        ids = torch.randint(1, 50000, (1, length), device=device)
        took = seconds(torch, device, lambda: model(ids, use_cache=True, **more), 1)
        emit(model=name, dtype="bf16", n_prompt=length, n_gen=0, batch=1,
             tok_s=round(length / took, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--sizes", default="130m,370m")
    flags = parser.parse_args()
    try:
        import torch
        import transformers
    except ImportError as error:
        print(f"time_transformers: {error}", file=sys.stderr)
        return 3
    # Without these packages the model runs its steps as separate PyTorch operations.
    kernels = [name for name in ("mamba_ssm", "causal_conv1d", "kernels")
               if importlib.util.find_spec(name)]
    emit(versions={"torch": torch.__version__, "transformers": transformers.__version__,
                   "kernel_packages": kernels})
    with torch.inference_mode():
        emit(matmul_tflop_s=round(matrix_tflop_s(torch, flags.device), 1))
        for size in flags.sizes.split(","):
            time_model(torch, transformers, flags.device, size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
