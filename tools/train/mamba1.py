"""A trainable Mamba-1 whose parameters carry the names of Hugging Face's MambaForCausalLM."""
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Shape:
    vocab_size: int
    d_model: int
    n_layer: int
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2
    norm_eps: float = 1e-5

    @property
    def d_inner(self):
        return self.expand * self.d_model

    @property
    def dt_rank(self):
        return math.ceil(self.d_model / 16)


class RMSNorm(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.d_model))
        self.eps = shape.norm_eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class MambaMixer(nn.Module):
    def __init__(self, shape, ops):
        super().__init__()
        self.shape, self.ops = shape, ops
        d_inner, d_state, dt_rank = shape.d_inner, shape.d_state, shape.dt_rank
        self.in_proj = nn.Linear(shape.d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, shape.d_conv, groups=d_inner)
        self.x_proj = nn.Linear(d_inner, dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.arange(1, d_state + 1).float().log().repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, shape.d_model, bias=False)
        self._init_weights()

    def _init_weights(self):
        """dt starts log-uniform in [1e-3, 1e-1]; the residual branch starts small."""
        shape = self.shape
        bound = shape.dt_rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        dt = torch.exp(torch.empty(shape.d_inner).uniform_(math.log(1e-3), math.log(1e-1)))
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
            self.out_proj.weight.div_(math.sqrt(shape.n_layer))

    def forward(self, hidden, state):
        """hidden (B, L, d_model); state (conv_state (B, K-1, d_inner), ssm_state (B, N, d_inner))."""
        shape, (conv_state, ssm_state) = self.shape, state
        x, z = self.in_proj(hidden).chunk(2, dim=-1)
        conv_state = conv_state.to(x.dtype)
        next_conv_state = torch.cat([conv_state, x.detach()[:, -(shape.d_conv - 1):]], 1)[:, -(shape.d_conv - 1):]
        u = self.ops.causal_conv_silu(x, self.conv1d.weight[:, 0].t(), self.conv1d.bias, conv_state)
        dt_low, B, C = self.x_proj(u).split([shape.dt_rank, shape.d_state, shape.d_state], dim=-1)
        dt_raw = F.linear(dt_low, self.dt_proj.weight)  # its bias joins in float32, before the softplus
        A = -torch.exp(self.A_log.t())
        y, ssm_state = self.ops.selective_scan(u, dt_raw, z, B, C, A, self.D, self.dt_proj.bias, ssm_state)
        return self.out_proj(y), (next_conv_state, ssm_state.detach())


class Block(nn.Module):
    def __init__(self, shape, ops):
        super().__init__()
        self.norm = RMSNorm(shape)
        self.mixer = MambaMixer(shape, ops)

    def forward(self, residual, state):
        mixed, state = self.mixer(self.norm(residual), state)
        return residual + mixed, state


class Backbone(nn.Module):
    def __init__(self, shape, ops):
        super().__init__()
        self.embeddings = nn.Embedding(shape.vocab_size, shape.d_model)
        nn.init.normal_(self.embeddings.weight, std=0.02)
        self.layers = nn.ModuleList(Block(shape, ops) for _ in range(shape.n_layer))
        self.norm_f = RMSNorm(shape)


class Mamba1(nn.Module):
    def __init__(self, shape, ops):
        super().__init__()
        self.shape, self.ops = shape, ops
        self.backbone = Backbone(shape, ops)

    def initial_state(self, batch, device="cpu"):
        shape = self.shape
        return [
            (torch.zeros(batch, shape.d_conv - 1, shape.d_inner, device=device),
             torch.zeros(batch, shape.d_state, shape.d_inner, device=device))
            for _ in range(shape.n_layer)
        ]

    def forward(self, ids, state):
        """ids (B, L) -> logits (B, L, vocab_size) of the tied head, and the state after the last token."""
        residual = self.backbone.embeddings(ids)
        next_state = []
        for layer, layer_state in zip(self.backbone.layers, state):
            residual, layer_state = layer(residual, layer_state)
            next_state.append(layer_state)
        return F.linear(self.backbone.norm_f(residual), self.backbone.embeddings.weight), next_state

    def loss(self, ids, targets, state):
        logits, state = self(ids, state)
        return self.ops.cross_entropy(logits.flatten(0, 1), targets.flatten()), state
