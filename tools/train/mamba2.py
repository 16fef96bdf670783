"""A trainable Mamba-2 whose parameters carry the names of Hugging Face's Mamba2ForCausalLM.

The state-space duality in its chunked form: within a chunk an attention-like product of matrices,
between chunks the recurrence of their states, itself a product with a small matrix of decays.

Shapes: B batch, L sequence, H heads, P head_dim, N d_state, Q steps of a chunk; one group.
"""
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn

from .mamba1 import DT_RANGE, LanguageModel, RMSNorm, last_columns

CHUNK = 64


@dataclasses.dataclass
class Shape:
    vocab_size: int
    d_model: int
    n_layer: int
    d_state: int = 64
    d_conv: int = 4
    expand: int = 2
    head_dim: int = 64
    norm_eps: float = 1e-5

    @property
    def d_inner(self):
        return self.expand * self.d_model

    @property
    def n_heads(self):
        return self.d_inner // self.head_dim

    @property
    def conv_dim(self):
        return self.d_inner + 2 * self.d_state


def ssd_plain(x, dt, A, B, C, h0):
    """The recurrence, one step at a time. x (B, L, H, P), dt (B, L, H), A (H), B and C (B, L, N),
    h0 (B, H, P, N). Returns y (B, L, H, P) without D x, and the last state."""
    h, outputs = h0, []
    for t in range(x.shape[1]):
        added = (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, None, None]
        h = torch.exp(dt[:, t] * A)[..., None, None] * h + added
        outputs.append((h * C[:, t, None, None]).sum(-1))
    return torch.stack(outputs, dim=1), h


def within_chunks(x, dt, A, B, C):
    """x (M, Q, H, P), dt (M, Q, H), B and C (M, Q, N) of M chunks: their outputs from an empty state
    (M, H, Q, P), the states they leave (M, H, P, N), and the decay since their start (M, H, Q)."""
    s = torch.cumsum(dt * A, dim=1).transpose(1, 2)
    causal = torch.ones(x.shape[1], x.shape[1], device=x.device, dtype=torch.bool).tril()
    decay = torch.exp((s[..., :, None] - s[..., None, :]).masked_fill(~causal, -torch.inf))
    scores = (C @ B.transpose(1, 2))[:, None] * decay
    value = (x * dt[..., None]).transpose(1, 2).to(B.dtype)
    y = scores.to(B.dtype) @ value
    rest = torch.exp(s[..., -1:] - s)
    left = (value * rest[..., None]).to(B.dtype).transpose(2, 3) @ B[:, None]
    return y, left.float(), torch.exp(s), s[..., -1]


def between_chunks(left, total, h0):
    """left (B, chunks, H, P, N): the states that chunks leave; total (B, chunks, H): the logarithm of
    the decay over each. Returns the states they start with (M, H, P, N), and the last."""
    # Entry (i, j) of `decay`: what is left at the start of chunk i of the state that chunk j - 1
    # left; j = 0 is h0.
    ends = F.pad(torch.cumsum(total.transpose(1, 2), dim=-1), (1, 0))
    steps = ends.shape[-1]
    lower = torch.ones(steps, steps, device=left.device, dtype=torch.bool).tril()
    decay = torch.exp((ends[..., :, None] - ends[..., None, :]).masked_fill(~lower, -torch.inf))
    states = torch.cat([h0[:, None], left], dim=1).transpose(1, 2)  # (B, H, chunks + 1, P, N)
    starts = (decay @ states.flatten(3)).view(states.shape)
    return starts[:, :, :-1].transpose(1, 2).flatten(0, 1), starts[:, :, -1]


def ssd(x, dt, A, B, C, h0, within=within_chunks):
    """As ssd_plain. Products in the type of B, everything else in float32."""
    batch, length, heads, width = x.shape
    pad = -length % CHUNK
    if pad:
        x, dt, B, C = (F.pad(t, (0, 0) * (t.dim() - 2) + (0, pad)) for t in (x, dt, B, C))
    x, dt, B, C = (t.reshape(-1, CHUNK, *t.shape[2:]) for t in (x, dt, B, C))
    y, left, since, total = within(x, dt, A, B, C)
    with torch.autocast(x.device.type, enabled=False):  # a rounded decay would forget, or not
        starts, last = between_chunks(left.unflatten(0, (batch, -1)), total.unflatten(0, (batch, -1)), h0)
    between = C[:, None] @ starts.to(B.dtype).transpose(2, 3)
    y = y + between * since[..., None]
    y = y.transpose(1, 2).reshape(batch, -1, heads, width)
    return y[:, :length], last


class Mamba2Mixer(nn.Module):
    within = staticmethod(within_chunks)

    def __init__(self, shape, ops):
        super().__init__()
        self.shape, self.ops = shape, ops
        d_inner, n_heads = shape.d_inner, shape.n_heads
        self.in_proj = nn.Linear(shape.d_model, d_inner + shape.conv_dim + n_heads, bias=False)
        self.conv1d = nn.Conv1d(shape.conv_dim, shape.conv_dim, shape.d_conv, groups=shape.conv_dim)
        dt = torch.exp(torch.empty(n_heads).uniform_(*map(math.log, DT_RANGE)))
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))
        self.A_log = nn.Parameter(torch.empty(n_heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(n_heads))
        self.norm = RMSNorm(d_inner, shape.norm_eps)
        self.out_proj = nn.Linear(d_inner, shape.d_model, bias=False)
        with torch.no_grad():
            self.out_proj.weight.div_(math.sqrt(shape.n_layer))

    def forward(self, hidden, state=None):
        """hidden (B, L, d_model); state (conv_state (B, K-1, conv_dim), ssm_state (B, H, P, N)) or None."""
        shape, (conv_state, ssm_state) = self.shape, state or (None, None)
        z, xBC, dt = self.in_proj(hidden).split([shape.d_inner, shape.conv_dim, shape.n_heads], dim=-1)
        if conv_state is not None:
            conv_state = conv_state.to(xBC.dtype)
        convolved = self.ops.causal_conv_silu(xBC, self.conv1d.weight[:, 0].t(), self.conv1d.bias, conv_state)
        x, B, C = convolved.split([shape.d_inner, shape.d_state, shape.d_state], dim=-1)
        x = x.unflatten(-1, (shape.n_heads, shape.head_dim))
        dt = self.ops.dilate(F.softplus(dt.float() + self.dt_bias))
        if ssm_state is None:
            ssm_state = torch.zeros(x.shape[0], shape.n_heads, shape.head_dim, shape.d_state, device=x.device)
        A = -torch.exp(self.A_log)
        if x.shape[1] == 1:
            y, ssm_state = ssd_plain(x.float(), dt, A, B.float(), C.float(), ssm_state)
        else:
            y, ssm_state = ssd(x, dt, A, B, C, ssm_state, self.within)
        y = (y + self.D[:, None] * x).flatten(2)
        y = self.norm(y.float() * F.silu(z.float()))
        return self.out_proj(y.to(z.dtype)), state and (last_columns(conv_state, xBC), ssm_state.detach())

    def initial_state(self, batch, device):
        shape = self.shape
        return (torch.zeros(batch, shape.d_conv - 1, shape.conv_dim, device=device),
                torch.zeros(batch, shape.n_heads, shape.head_dim, shape.d_state, device=device))


def Mamba2(shape, ops, dropout=0.0):
    return LanguageModel(shape, ops, Mamba2Mixer, dropout)
