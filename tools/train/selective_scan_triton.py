"""The selective scan of mamba1_ops.selective_scan_plain as two Triton kernels.

One program owns one sequence and a block of channels; it walks through time with the state in
registers. The forward pass stores the state at the start of every chunk; the backward pass
walks the chunks from the last to the first and computes the states in between again.

Sums over channels (gradients of B and C) are written per block and summed afterwards, in a
fixed order, so that a step gives the same bits every time.

Shapes: B batch, L sequence, C = d_inner, N = d_state.
"""
import torch
import triton
import triton.language as tl

CHUNK = 16
TILE = 512  # states per program: 16 per thread of one warp


@triton.jit
def _softplus(x):
    # log1p by its series where exp(x) is small: a step size of 1e-8 must not become 0.
    e = tl.exp(tl.minimum(x, 20.0))
    series = e * (1.0 - e * (0.5 - e * (0.3333333333 - e * 0.25)))
    return tl.where(x > 20.0, x, tl.where(e < 0.03, series, tl.log(1.0 + e)))


@triton.jit
def _forward_kernel(u, dt_raw, z, B, C, A, D, dt_bias, h0, y, starts, h_last, L, channels,
                    u_row, dt_row, z_row, B_row, C_row,
                    N: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr):
    batch = tl.program_id(0)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, N)
    tile = n[:, None] * channels + c[None, :]
    a_log_decay = tl.load(A + tile)
    skip = tl.load(D + c)
    bias = tl.load(dt_bias + c)
    h = tl.load(h0 + batch * N * channels + tile)
    row = batch.to(tl.int64) * L
    for chunk in range(0, L // CHUNK):
        tl.store(starts + (row // CHUNK + chunk) * N * channels + tile, h)
        for i in range(0, CHUNK):
            t = row + chunk * CHUNK + i
            u_t = tl.load(u + t * u_row + c)
            dt = _softplus(tl.load(dt_raw + t * dt_row + c) + bias)
            z_t = tl.load(z + t * z_row + c)
            b_t = tl.load(B + t * B_row + n)
            c_t = tl.load(C + t * C_row + n)
            h = tl.exp(dt[None, :] * a_log_decay) * h + b_t[:, None] * (dt * u_t)[None, :]
            out = tl.sum(h * c_t[:, None], axis=0) + skip * u_t
            tl.store(y + t * channels + c, out * z_t * tl.sigmoid(z_t))
    tl.store(h_last + batch * N * channels + tile, h)


@triton.jit
def _backward_kernel(u, dt_raw, z, B, C, A, D, dt_bias, starts, dy, scratch,
                     du, ddt, dz, dB, dC, dA, dD, dbias, L, channels,
                     u_row, dt_row, z_row, B_row, C_row,
                     N: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr):
    batch = tl.program_id(0)
    block = tl.program_id(1)
    blocks = tl.num_programs(1)
    c = block * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, N)
    tile = n[:, None] * channels + c[None, :]
    a_log_decay = tl.load(A + tile)
    skip = tl.load(D + c)
    bias = tl.load(dt_bias + c)
    row = batch.to(tl.int64) * L
    # States before each step of the chunk in hand.
    own = scratch + batch.to(tl.int64) * CHUNK * N * channels + tile
    dh = tl.zeros([N, BLOCK], tl.float32)
    dA_sum = tl.zeros([N, BLOCK], tl.float32)
    dD_sum = tl.zeros([BLOCK], tl.float32)
    dbias_sum = tl.zeros([BLOCK], tl.float32)
    for back in range(0, L // CHUNK):
        chunk = L // CHUNK - 1 - back
        h = tl.load(starts + (row // CHUNK + chunk) * N * channels + tile)
        for i in range(0, CHUNK):
            t = row + chunk * CHUNK + i
            tl.store(own + i * N * channels, h)
            u_t = tl.load(u + t * u_row + c)
            dt = _softplus(tl.load(dt_raw + t * dt_row + c) + bias)
            b_t = tl.load(B + t * B_row + n)
            h = tl.exp(dt[None, :] * a_log_decay) * h + b_t[:, None] * (dt * u_t)[None, :]
        tl.debug_barrier()
        for j in range(0, CHUNK):
            i = CHUNK - 1 - j
            t = row + chunk * CHUNK + i
            u_t = tl.load(u + t * u_row + c)
            raw = tl.load(dt_raw + t * dt_row + c) + bias
            dt = _softplus(raw)
            z_t = tl.load(z + t * z_row + c)
            b_t = tl.load(B + t * B_row + n)
            c_t = tl.load(C + t * C_row + n)
            dy_t = tl.load(dy + t * channels + c)
            h_before = tl.load(own + i * N * channels)
            decay = tl.exp(dt[None, :] * a_log_decay)
            h = decay * h_before + b_t[:, None] * (dt * u_t)[None, :]
            gate = tl.sigmoid(z_t)
            out = tl.sum(h * c_t[:, None], axis=0) + skip * u_t
            tl.store(dz + t * channels + c, dy_t * out * gate * (1.0 + z_t * (1.0 - gate)))
            g = dy_t * z_t * gate
            dD_sum += g * u_t
            dh += g[None, :] * c_t[:, None]
            partial = (t * blocks + block) * N + n
            tl.store(dC + partial, tl.sum(g[None, :] * h, axis=1))
            tl.store(dB + partial, tl.sum(dh * (dt * u_t)[None, :], axis=1))
            dx = tl.sum(dh * b_t[:, None], axis=0)
            tl.store(du + t * channels + c, g * skip + dx * dt)
            dlog = dh * h_before * decay
            dA_sum += dlog * dt[None, :]
            ddt_t = (dx * u_t + tl.sum(dlog * a_log_decay, axis=0)) * tl.sigmoid(raw)
            tl.store(ddt + t * channels + c, ddt_t)
            dbias_sum += ddt_t
            dh = dh * decay
        tl.debug_barrier()
    tl.store(dA + batch * N * channels + tile, dA_sum)
    tl.store(dD + batch * channels + c, dD_sum)
    tl.store(dbias + batch * channels + c, dbias_sum)


def _rows(t):
    """t (B, L, X) and the distance of its rows in elements; a copy where rows are not evenly spaced."""
    if t.stride(2) != 1 or t.stride(0) != t.shape[1] * t.stride(1):
        t = t.contiguous()
    return t, t.stride(1)


def _block(d_state, channels):
    return max(1, min(channels, TILE // d_state))


def fits(u, A):
    """Whether the kernels take these shapes."""
    d_state, channels = A.shape
    power_of_two = d_state & (d_state - 1) == 0
    return power_of_two and d_state <= 64 and u.shape[1] % CHUNK == 0 and channels % _block(d_state, channels) == 0


class SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, dt_raw, z, B, C, A, D, dt_bias, h0):
        (u, u_row), (dt_raw, dt_row), (z, z_row), (B, B_row), (C, C_row) = map(_rows, (u, dt_raw, z, B, C))
        batch, length, channels = u.shape
        d_state = A.shape[0]
        block = _block(d_state, channels)
        A, h0 = A.contiguous(), h0.contiguous()
        y, h_last = torch.empty(u.shape, device=u.device), torch.empty_like(h0)
        starts = torch.empty(batch, length // CHUNK, d_state, channels, device=u.device)
        rows = (u_row, dt_row, z_row, B_row, C_row)
        _forward_kernel[(batch, channels // block)](
            u, dt_raw, z, B, C, A, D, dt_bias, h0, y, starts, h_last, length, channels, *rows,
            N=d_state, BLOCK=block, CHUNK=CHUNK, num_warps=1)
        ctx.save_for_backward(u, dt_raw, z, B, C, A, D, dt_bias, starts)
        ctx.rows, ctx.block = rows, block
        ctx.mark_non_differentiable(h_last)
        return y, h_last

    @staticmethod
    def backward(ctx, dy, _dh_last):
        u, dt_raw, z, B, C, A, D, dt_bias, starts = ctx.saved_tensors
        batch, length, channels = u.shape
        d_state, blocks = A.shape[0], channels // ctx.block

        def empty(*shape):
            return torch.empty(*shape, device=u.device)

        du, ddt, dz = (empty(*u.shape) for _ in range(3))
        dB, dC = (empty(batch, length, blocks, d_state) for _ in range(2))
        dA, dD, dbias = empty(batch, d_state, channels), empty(batch, channels), empty(batch, channels)
        scratch = empty(batch, CHUNK, d_state, channels)
        _backward_kernel[(batch, blocks)](
            u, dt_raw, z, B, C, A, D, dt_bias, starts, dy.contiguous(), scratch,
            du, ddt, dz, dB, dC, dA, dD, dbias, length, channels, *ctx.rows,
            N=d_state, BLOCK=ctx.block, CHUNK=CHUNK, num_warps=1)
        return du, ddt, dz, dB.sum(2), dC.sum(2), dA.sum(0), dD.sum(0), dbias.sum(0), None
