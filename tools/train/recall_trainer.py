"""Trains one small model on a recall task: curriculum of lengths, schedule, CUDA graphs,
checkpoints.

On a GPU a training step of so small a model is hundreds of launches of a few microseconds; it
is captured as a CUDA graph, one per length, batch and random numbers included, so that a step
is one launch and several models train beside each other on one GPU.
"""
import dataclasses

import torch
import torch.nn.functional as F
from torch import nn

from . import dilation, recall_eval
from .mamba1 import Mamba1, Shape
from .s4d import S4D

BETAS = (0.9, 0.95)
EPSILON = 1e-12  # far below the gradients of a solved task, which still lengthen the memory
LEAST_SEQUENCES = 8
CLIP_NORM = 1.0
WINDOW = 100  # steps between looks at the statistics
DILATED_FROM = 64  # tokens: shorter sequences first teach the task itself
LONGEST = 1 << 21  # tokens that a dilated sequence stands for, at most
WARMUP = 100
DECAY_FROM = 0.6  # share of the run after which the learning rate falls, linearly
FINAL_SHARE = 0.02
LATEST = 0.65  # share of the run by which all lengths have joined, solved or not
PROBE_SEED = 7_000
LOG_HEADER = "step,seconds,length,learning_rate,loss,accuracy"
KINDS = {"mamba": Mamba1, "s4d": S4D}


@dataclasses.dataclass(frozen=True)
class Job:
    """What is trained, and how. `lengths`: the curriculum; once all have joined, steps take
    turns among the last `mixed` of them. A step has `tokens` tokens whatever the length, but
    LEAST_SEQUENCES at least."""

    name: str
    base: str  # name of the task
    kind: str
    task: object
    shape: Shape
    lengths: tuple
    mixed: int
    tokens: int
    learning_rate: float
    solved: float  # training accuracy at which the next length joins
    dilated: float = 0.0  # share of sequences whose tokens count as repeated, see dilation.py
    weight_decay: float = 0.0
    share: float = 1.0  # of the run's time
    probes: tuple = (256, 4096, 16384)  # lengths whose accuracy chooses the model that is kept
    probe_count: int = 100

    def batch(self, length):
        return max(LEAST_SEQUENCES, self.tokens // length)


class SmallEmbedding(nn.Embedding):
    """The product with one-hot rows: its gradient needs neither sorting nor atomic additions."""

    def forward(self, ids):
        return (ids[..., None] == torch.arange(self.num_embeddings, device=ids.device)).to(self.weight) @ self.weight


def build(job, ops):
    model = KINDS[job.kind](job.shape, ops)
    embedding = SmallEmbedding(job.shape.vocab_size, job.shape.d_model)
    embedding.weight = model.backbone.embeddings.weight
    model.backbone.embeddings = embedding
    return model


def make_optimizer(model, job, rate):
    """Weight decay on matrices only; `rate` is a tensor on the GPU, which graphs read anew."""
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        matrix = parameter.dim() == 2 and "A_" not in name
        (decayed if matrix else plain).append(parameter)
    groups = [{"params": decayed, "weight_decay": job.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    on_gpu = isinstance(rate, torch.Tensor)
    return torch.optim.AdamW(groups, lr=rate, betas=BETAS, eps=EPSILON, fused=True, capturable=on_gpu)


class Trainer:
    def __init__(self, job, ops, device, seed):
        self.job, self.device, self.seed = job, torch.device(device), seed
        self.cuda = self.device.type == "cuda"
        self.stream = torch.cuda.Stream() if self.cuda else None
        torch.manual_seed(seed)
        self.ops = dilation.DilatedOps(ops)
        self.model = build(job, self.ops).to(self.device)
        self.rate = torch.tensor(0.0, device=self.device) if self.cuda else 0.0
        self.optimizer = make_optimizer(self.model, job, self.rate)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        # Per length: sums of loss and of accuracy, number of steps since the last look.
        self.stats = torch.zeros(len(job.lengths), 3, device=self.device)
        self.graphs, self.graphs_work = {}, self.cuda
        self.step, self.level = 0, 0
        self.log, self.joined = [LOG_HEADER], {job.lengths[0]: 0}
        self.failed = None
        self.wall = 0.0  # seconds of the whole run, set by its owner
        if self.cuda:
            torch.cuda.synchronize()  # what lies on the default stream is there before this one begins

    # ---- one step

    def _train_step(self, level):
        job = self.job
        length = job.lengths[level]
        count = job.batch(length)
        ids, targets = job.task.batch(count, length, self.generator)
        factors = None
        if job.dilated and job.kind == "mamba" and length >= DILATED_FROM:
            factors = dilation.factors(job.task.landmarks(ids), job.dilated, LONGEST, self.generator)
        with self.ops.dilated(factors):
            logits = self.model(ids, self.model.initial_state(count, self.device))[0][:, -job.task.answers:]
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        right = (logits.detach().argmax(-1) == targets).float().mean()
        self.stats[level].add_(torch.stack([loss.detach(), right, torch.ones_like(right)]))

    def _capture(self, level):
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=self.stream):
            self._train_step(level)
        self.graphs[level] = graph

    def _run_step(self, level):
        """The first step of a length runs as it is and warms everything up, the second captures."""
        if not self.graphs_work or level not in self.graphs:
            self._train_step(level)
            if self.graphs_work:
                self.graphs[level] = None
            return
        if self.graphs[level] is None:
            try:
                self._capture(level)
            except Exception as problem:
                print(f"{self.job.name}: no CUDA graph, plain steps instead: {problem!r}", flush=True)
                self.graphs_work = False
                torch.cuda.synchronize()
                self._train_step(level)
                return
        self.graphs[level].replay()

    # ---- the schedule; `progress` is the share of the run that is over

    def _set_rate(self, progress):
        decay = 1.0 if progress < DECAY_FROM else max(0.0, (1 - progress) / (1 - DECAY_FROM))
        rate = self.job.learning_rate * min(1.0, (self.step + 1) / WARMUP) * max(FINAL_SHARE, decay)
        if self.cuda:
            self.rate.fill_(rate)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate if self.cuda else rate
        return rate

    def _level_now(self):
        """Shortest to longest; later in turns among the last ones that have joined."""
        lowest = max(0, self.level - self.job.mixed + 1)
        return self.level - self.step % (self.level - lowest + 1)

    def advance(self, count, progress):
        """Submits `count` steps, on this trainer's stream where there is one."""
        with torch.cuda.stream(self.stream):
            for _ in range(count):
                rate = self._set_rate(progress) if self.step % 10 == 0 or self.step < WARMUP else None
                self._run_step(self._level_now())
                self.step += 1
                if self.step % WINDOW == 0:
                    self._look(rate or self._set_rate(progress), progress)

    def _look(self, rate, progress):
        """Reads the statistics; lets the next length join when the longest is solved, or late."""
        rows = self.stats.tolist()
        self.stats.zero_()
        lengths = self.job.lengths
        for length, (loss, right, steps) in zip(lengths, rows):
            if steps:
                self.log.append(f"{self.step},{self.wall:.0f},{length},{rate:.2e},{loss / steps:.4f},{right / steps:.4f}")
        loss, right, steps = rows[self.level]
        if not loss - loss == 0:
            raise FloatingPointError(f"{self.job.name}: loss {loss} at step {self.step}")
        late = progress > LATEST * (self.level + 1) / len(lengths)
        if self.level + 1 < len(lengths) and steps and (right / steps >= self.job.solved or late):
            self.level += 1
            self.joined[lengths[self.level]] = self.step
            print(f"{self.job.name}: step {self.step}, length {lengths[self.level]} joins", flush=True)

    # ---- measuring and keeping

    def probe(self):
        """Accuracy at the job's probe lengths."""
        job = self.job
        with torch.cuda.stream(self.stream):
            return recall_eval.by_length(self.model, job.task, job.probes, job.probe_count, PROBE_SEED, self.device)

    def content(self):
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step, "level": self.level, "log": self.log, "joined": self.joined,
        }

    def restore(self, content):
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.generator.set_state(content["generator"].cpu())
        self.step, self.level = content["step"], content["level"]
        self.log, self.joined = content["log"], content["joined"]
        self._set_rate(0.0)
        if self.cuda:
            torch.cuda.synchronize()
