"""A trainable Mamba-1 whose parameters carry the names of Hugging Face's MambaForCausalLM."""
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


# Of step sizes at the start: with A = -1 a state lasts for 10 to 10,000 tokens.
DT_RANGE = (1e-4, 1e-1)


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
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

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
        """dt starts log-uniform in DT_RANGE; the residual branch starts small."""
        shape = self.shape
        bound = shape.dt_rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        dt = torch.exp(torch.empty(shape.d_inner).uniform_(*map(math.log, DT_RANGE)))
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
            self.out_proj.weight.div_(math.sqrt(shape.n_layer))

    def forward(self, hidden, state=None):
        """hidden (B, L, d_model); state (conv_state (B, K-1, d_inner), ssm_state (B, N, d_inner)), or
        None: empty, and none is returned."""
        shape, (conv_state, ssm_state) = self.shape, state or (None, None)
        x, z = self.in_proj(hidden).chunk(2, dim=-1)
        if conv_state is not None:
            conv_state = conv_state.to(x.dtype)
        u = self.ops.causal_conv_silu(x, self.conv1d.weight[:, 0].t(), self.conv1d.bias, conv_state)
        dt_low, B, C = self.x_proj(u).split([shape.dt_rank, shape.d_state, shape.d_state], dim=-1)
        dt_raw = F.linear(dt_low, self.dt_proj.weight)  # its bias joins in float32, before the softplus
        A = -torch.exp(self.A_log.t())
        y, ssm_state = self.ops.selective_scan(u, dt_raw, z, B, C, A, self.D, self.dt_proj.bias, ssm_state)
        return self.out_proj(y), state and (last_columns(conv_state, x), ssm_state.detach())

    def initial_state(self, batch, device):
        shape = self.shape
        return (torch.zeros(batch, shape.d_conv - 1, shape.d_inner, device=device),
                torch.zeros(batch, shape.d_state, shape.d_inner, device=device))


def last_columns(conv_state, x):
    """The convolution's state after x."""
    kept = conv_state.shape[1]
    return torch.cat([conv_state, x.detach()[:, -kept:]], 1)[:, -kept:]


class Block(nn.Module):
    def __init__(self, shape, mixer):
        super().__init__()
        self.norm = RMSNorm(shape.d_model, shape.norm_eps)
        self.mixer = mixer

    def forward(self, residual, state, dropout):
        mixed, state = self.mixer(self.norm(residual), state)
        return residual + F.dropout(mixed, dropout, self.training), state


class Backbone(nn.Module):
    def __init__(self, shape, make_mixer):
        super().__init__()
        self.embeddings = nn.Embedding(shape.vocab_size, shape.d_model)
        nn.init.normal_(self.embeddings.weight, std=0.02)
        self.layers = nn.ModuleList(Block(shape, make_mixer()) for _ in range(shape.n_layer))
        self.norm_f = RMSNorm(shape.d_model, shape.norm_eps)


class LanguageModel(nn.Module):
    """Embedding, blocks of a mixer, final norm, tied head."""

    def __init__(self, shape, ops, mixer, dropout=0.0):
        super().__init__()
        self.shape, self.ops, self.dropout = shape, ops, dropout
        self.backbone = Backbone(shape, lambda: mixer(shape, ops))

    def initial_state(self, batch, device="cpu"):
        return [layer.mixer.initial_state(batch, device) for layer in self.backbone.layers]

    def hidden(self, ids, state=None):
        residual = self.backbone.embeddings(ids)
        next_state = []
        for i, layer in enumerate(self.backbone.layers):
            residual, layer_state = layer(residual, state and state[i], self.dropout)
            next_state.append(layer_state)
        return self.backbone.norm_f(residual), state and next_state

    def head(self, hidden):
        return F.linear(hidden, self.backbone.embeddings.weight)

    def forward(self, ids, state):
        """ids (B, L) -> logits (B, L, vocab_size) of the tied head, and the state after the last token."""
        hidden, state = self.hidden(ids, state)
        return self.head(hidden), state

    def loss(self, ids, targets, weights):
        """Weighted sum of the losses of rows that each start from an empty state, and which targets
        were the likeliest tokens. Nothing is computed for targets of weight 0: they count as right."""
        asked = weights > 0
        logits = self.head(self.hidden(ids)[0][asked])
        right = torch.ones_like(asked)
        right[asked] = logits.detach().argmax(-1) == targets[asked]
        return self.ops.cross_entropy(logits, targets[asked], weights[asked]), right


def Mamba1(shape, ops, dropout=0.0):
    return LanguageModel(shape, ops, MambaMixer, dropout)
