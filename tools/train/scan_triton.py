"""The selective scan of mamba1_ops.selective_scan_plain in Triton, parallel over time.

Time is cut into chunks of STEPS. What a chunk adds to the state does not depend on what came
before, so:
  1. every chunk, alone: its total dt and the state it leaves when it starts from zero;
  2. over the chunks, in order: h_start of each (in place of the sums of 1.);
  3. every chunk, alone: its states again, from h_start, and the outputs.
Backward the same with time reversed: what a chunk sends to the state before it, the sums over
chunks, and the gradients of every chunk from h_start and the gradient of its last state.

One program owns a chunk of one sequence and BLOCK channels as a [STEPS, BLOCK] tile and loops
over the N states of a channel. A lane of the warp owns a channel (see WIDE). With
S_t = dt_1 + .. + dt_t, the decay from s to t is exp(A (S_t - S_s)): sums over a chunk need no scan.

Sums over channels (the gradients of B and C) are written per block and added afterwards in a
fixed order. All arithmetic is float32. Shapes: B batch, L sequence, C = d_inner, N = d_state.
"""
import torch
import triton
import triton.language as tl

STEPS = 16
BLOCK = 32
WARPS = 1
COMBINE_BLOCK = 128
# Tensors whose alignment the compiler is not told. It would load eight channels at once and spread
# time over the lanes, and the scans over time would need shuffles between them.
WIDE = ["u", "raw", "z", "y", "dy", "du", "draw", "dz"]


@triton.jit
def _softplus(x):
    # log1p by its series where exp(x) is small: a step size of 1e-8 must not become 0.
    e = tl.exp(tl.minimum(x, 20.0))
    series = e * (1.0 - e * (0.5 - e * (0.3333333333 - e * 0.25)))
    return tl.where(x > 20.0, x, tl.where(e < 0.03, series, tl.log(1.0 + e)))


@triton.jit
def _then(a1, b1, a2, b2):
    """h -> a1 h + b1, then h -> a2 h + b2."""
    return a1 * a2, a2 * b1 + b2


@triton.jit(do_not_specialize_on_alignment=WIDE)
def _chunk_states(u, raw, B, A, bias, sums, states, L, channels, chunks, u_row, raw_row,
                  N: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """1.: sums (B, chunks, C) of dt, states (B, chunks, N, C). B is (B, N, L)."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    t = chunk * STEPS + tl.arange(0, STEPS)
    inside = (t < L)[:, None] & (c < channels)[None, :]
    valid = c < channels
    row = batch * L + t
    dt = tl.load(raw + row[:, None] * raw_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
    dt = _softplus(dt + tl.load(bias + c, mask=valid, other=0.0)[None, :])
    dt = tl.where(inside, dt, 0.0)
    total = tl.sum(dt, axis=0)
    rest = total[None, :] - tl.cumsum(dt, axis=0)
    x = dt * tl.load(u + row[:, None] * u_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
    place = batch * chunks + chunk
    tl.store(sums + place * channels + c, total, mask=valid)
    for n in range(0, N):
        a = tl.load(A + n * channels + c, mask=valid, other=0.0)
        b = tl.load(B + (batch * N + n) * L + t, mask=t < L, other=0.0)
        part = tl.sum(tl.exp(a[None, :] * rest) * (x * b[:, None]), axis=0)
        tl.store(states + (place * N + n) * channels + c, part, mask=valid)


@triton.jit(do_not_specialize_on_alignment=WIDE)
def _chunk_gradients(raw, z, dy, C, A, bias, grads, L, channels, chunks, raw_row, z_row, dy_row,
                     N: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """1. backward: what the outputs of a chunk send to the state before it."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    t = chunk * STEPS + tl.arange(0, STEPS)
    inside = (t < L)[:, None] & (c < channels)[None, :]
    valid = c < channels
    row = batch * L + t
    dt = tl.load(raw + row[:, None] * raw_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
    dt = _softplus(dt + tl.load(bias + c, mask=valid, other=0.0)[None, :])
    dt = tl.where(inside, dt, 0.0)
    since = tl.cumsum(dt, axis=0)
    gate = tl.load(z + row[:, None] * z_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
    g = tl.load(dy + row[:, None] * dy_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
    g = g * gate * tl.sigmoid(gate)
    place = batch * chunks + chunk
    for n in range(0, N):
        a = tl.load(A + n * channels + c, mask=valid, other=0.0)
        out = tl.load(C + (batch * N + n) * L + t, mask=t < L, other=0.0)
        part = tl.sum(tl.exp(a[None, :] * since) * (g * out[:, None]), axis=0)
        tl.store(grads + (place * N + n) * channels + c, part, mask=valid)


@triton.jit
def _combine(states, sums, A, first, last, channels, chunks, N: tl.constexpr, BLOCK: tl.constexpr,
             REVERSE: tl.constexpr):
    """2.: replaces what each chunk adds by the state it begins with, from `first` on; in
    reversed order, by the gradient of the state it ends with."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    n = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    valid = c < channels
    a = tl.load(A + n * channels + c, mask=valid, other=0.0)
    state = (batch * N + n) * channels + c
    if REVERSE:
        h = tl.zeros([BLOCK], tl.float32)
    else:
        h = tl.load(first + state, mask=valid, other=0.0)
    for i in range(0, chunks):
        chunk = i
        if REVERSE:
            chunk = chunks - 1 - i
        place = batch * chunks + chunk
        here = states + (place * N + n) * channels + c
        added = tl.load(here, mask=valid, other=0.0)
        total = tl.load(sums + place * channels + c, mask=valid, other=0.0)
        tl.store(here, h, mask=valid)
        h = tl.exp(a * total) * h + added
    tl.store(last + state, h, mask=valid)


@triton.jit(do_not_specialize_on_alignment=WIDE)
def _outputs(u, raw, z, B, C, A, D, bias, states, y, L, channels, chunks, u_row, raw_row, z_row,
             N: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """3.: y = (C h + D u) silu(z)."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    t = chunk * STEPS + tl.arange(0, STEPS)
    inside = (t < L)[:, None] & (c < channels)[None, :]
    valid = c < channels
    row = batch * L + t
    dt = tl.load(raw + row[:, None] * raw_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
    dt = _softplus(dt + tl.load(bias + c, mask=valid, other=0.0)[None, :])
    dt = tl.where(inside, dt, 0.0)
    x = tl.load(u + row[:, None] * u_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
    total = x * tl.load(D + c, mask=valid, other=0.0)[None, :]
    x = x * dt
    place = batch * chunks + chunk
    for n in range(0, N):
        a = tl.load(A + n * channels + c, mask=valid, other=0.0)
        b = tl.load(B + (batch * N + n) * L + t, mask=t < L, other=0.0)
        out = tl.load(C + (batch * N + n) * L + t, mask=t < L, other=0.0)
        start = tl.load(states + (place * N + n) * channels + c, mask=valid, other=0.0)
        decay, h = tl.associative_scan((tl.exp(dt * a[None, :]), x * b[:, None]), 0, _then)
        total += (h + decay * start[None, :]) * out[:, None]
    gate = tl.load(z + row[:, None] * z_row + c[None, :], mask=inside, other=0.0).to(tl.float32)
    tl.store(y + row[:, None] * channels + c[None, :], total * gate * tl.sigmoid(gate), mask=inside)


@triton.jit(do_not_specialize_on_alignment=WIDE)
def _gradients(u, raw, z, dy, B, C, A, D, bias, states, grads, du, draw, dz, dB, dC, dD, dbias,
               L, channels, chunks, u_row, raw_row, z_row, dy_row,
               N: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """3. backward. `states` (h_start) is replaced by this chunk's part of dA; dB and dC are
    (B, blocks, N, L), dD and dbias (B, chunks, C).

    Steps are tuples here, one vector of channels each: a tile would have to be scanned in reverse,
    which Triton does by turning all lanes of a warp around."""
    block = tl.program_id(0)
    c = block * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    first = chunk * STEPS
    row = batch * L + first
    valid = c < channels
    bias_c = tl.load(bias + c, mask=valid, other=0.0)
    skip = tl.load(D + c, mask=valid, other=0.0)
    dt, x, g, total, dx, ddt = (), (), (), (), (), ()
    zero = tl.zeros([BLOCK], tl.float32)
    for i in tl.static_range(STEPS):
        inside = valid & (first + i < L)
        d = tl.load(raw + (row + i) * raw_row + c, mask=inside, other=0.0).to(tl.float32) + bias_c
        d = tl.where(inside, _softplus(d), 0.0)
        u_t = tl.load(u + (row + i) * u_row + c, mask=inside, other=0.0).to(tl.float32)
        gate = tl.load(z + (row + i) * z_row + c, mask=inside, other=0.0).to(tl.float32)
        dy_t = tl.load(dy + (row + i) * dy_row + c, mask=inside, other=0.0).to(tl.float32)
        dt += (d,)
        x += (d * u_t,)
        g += (dy_t * gate * tl.sigmoid(gate),)
        total += (zero,)
        dx += (zero,)
        ddt += (zero,)
    place = batch * chunks + chunk
    for n in range(0, N):
        a = tl.load(A + n * channels + c, mask=valid, other=0.0)
        here = (place * N + n) * channels + c
        h = tl.load(states + here, mask=valid, other=0.0)
        dh = tl.load(grads + here, mask=valid, other=0.0)
        b_row = B + (batch * N + n) * L + first
        c_row = C + (batch * N + n) * L + first
        partial = ((batch * tl.num_programs(0) + block) * N + n) * L + first
        decays, kept, new_total = (), (), ()
        for i in tl.static_range(STEPS):
            b = tl.load(b_row + i, mask=first + i < L, other=0.0)
            out = tl.load(c_row + i, mask=first + i < L, other=0.0)
            decay = tl.exp(dt[i] * a)
            before = decay * h
            h = before + x[i] * b
            decays += (decay,)
            kept += (before,)
            new_total += (total[i] + h * out,)
            tl.store(dC + partial + i, tl.sum(g[i] * h, axis=0), mask=first + i < L)
        total = new_total
        dA = zero
        new_dx, new_ddt = (), ()
        for j in tl.static_range(STEPS):
            b = tl.load(b_row + STEPS - 1 - j, mask=first + STEPS - 1 - j < L, other=0.0)
            out = tl.load(c_row + STEPS - 1 - j, mask=first + STEPS - 1 - j < L, other=0.0)
            dh += g[STEPS - 1 - j] * out
            tl.store(dB + partial + STEPS - 1 - j, tl.sum(dh * x[STEPS - 1 - j], axis=0), mask=first + STEPS - 1 - j < L)
            new_dx = (dx[STEPS - 1 - j] + dh * b,) + new_dx
            k = dh * kept[STEPS - 1 - j]
            new_ddt = (ddt[STEPS - 1 - j] + k * a,) + new_ddt
            dA += k * dt[STEPS - 1 - j]
            dh = dh * decays[STEPS - 1 - j]
        dx, ddt = new_dx, new_ddt
        tl.store(states + here, dA, mask=valid)
    dD_sum, dbias_sum = zero, zero
    for i in tl.static_range(STEPS):
        inside = valid & (first + i < L)
        u_t = tl.load(u + (row + i) * u_row + c, mask=inside, other=0.0).to(tl.float32)
        gate = tl.load(z + (row + i) * z_row + c, mask=inside, other=0.0).to(tl.float32)
        dy_t = tl.load(dy + (row + i) * dy_row + c, mask=inside, other=0.0).to(tl.float32)
        d = tl.load(raw + (row + i) * raw_row + c, mask=inside, other=0.0).to(tl.float32) + bias_c
        s = tl.sigmoid(gate)
        tl.store(dz + (row + i) * channels + c, dy_t * (total[i] + skip * u_t) * s * (1.0 + gate * (1.0 - s)), mask=inside)
        tl.store(du + (row + i) * channels + c, g[i] * skip + dx[i] * dt[i], mask=inside)
        dd = tl.where(inside, (ddt[i] + dx[i] * u_t) * tl.sigmoid(d), 0.0)
        tl.store(draw + (row + i) * channels + c, dd, mask=inside)
        dD_sum += g[i] * u_t
        dbias_sum += dd
    tl.store(dD + place * channels + c, dD_sum, mask=valid)
    tl.store(dbias + place * channels + c, dbias_sum, mask=valid)


def _rows(t):
    """t (B, L, X) and the distance of its rows in elements; a copy where rows are not evenly spaced."""
    if t.stride(2) != 1 or t.stride(0) != t.shape[1] * t.stride(1):
        t = t.contiguous()
    return t, t.stride(1)


def _by_state(t):
    """(B, L, N) -> (B, N, L) in float32: one state's values lie side by side."""
    return t.float().transpose(1, 2).contiguous()


class SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, dt_raw, z, B, C, A, D, dt_bias, h0):
        (u, u_row), (dt_raw, raw_row), (z, z_row) = map(_rows, (u, dt_raw, z))
        ctx.narrow = B.dtype, C.dtype
        B, C = _by_state(B), _by_state(C)
        A, h0 = A.float().contiguous(), h0.contiguous()
        D, dt_bias = D.float(), dt_bias.float()
        batch, length, channels = u.shape
        d_state, chunks = A.shape[0], triton.cdiv(length, STEPS)
        y, h_last = torch.empty(u.shape, device=u.device, dtype=u.dtype), torch.empty_like(h0)
        sums = torch.empty(batch, chunks, channels, device=u.device)
        states = torch.empty(batch, chunks, d_state, channels, device=u.device)
        grid = (triton.cdiv(channels, BLOCK), chunks, batch)
        tile = {"N": d_state, "STEPS": STEPS, "BLOCK": BLOCK, "num_warps": WARPS}
        _chunk_states[grid](u, dt_raw, B, A, dt_bias, sums, states, length, channels, chunks, u_row, raw_row, **tile)
        _combine[(triton.cdiv(channels, COMBINE_BLOCK), d_state, batch)](
            states, sums, A, h0, h_last, channels, chunks, N=d_state, BLOCK=COMBINE_BLOCK, REVERSE=False)
        _outputs[grid](u, dt_raw, z, B, C, A, D, dt_bias, states, y, length, channels, chunks, u_row, raw_row, z_row,
                       **tile)
        ctx.save_for_backward(u, dt_raw, z, B, C, A, D, dt_bias, sums, states)
        ctx.mark_non_differentiable(h_last)
        return y, h_last

    @staticmethod
    def backward(ctx, dy, _dh_last):
        """Overwrites the saved states: once per forward pass."""
        u, dt_raw, z, B, C, A, D, dt_bias, sums, states = ctx.saved_tensors
        (dy, dy_row), (_, u_row), (_, raw_row), (_, z_row) = map(_rows, (dy, u, dt_raw, z))
        batch, length, channels = u.shape
        d_state, chunks = A.shape[0], sums.shape[1]
        blocks = triton.cdiv(channels, BLOCK)

        def empty(*shape, dtype=torch.float32):
            return torch.empty(*shape, device=u.device, dtype=dtype)

        grads, unused = empty(*states.shape), empty(batch, d_state, channels)
        du, draw, dz = (empty(*u.shape, dtype=t.dtype) for t in (u, dt_raw, z))
        dB, dC = (empty(batch, blocks, d_state, length) for _ in range(2))
        dD, dbias = empty(batch, chunks, channels), empty(batch, chunks, channels)
        grid = (blocks, chunks, batch)
        tile = {"N": d_state, "STEPS": STEPS, "BLOCK": BLOCK, "num_warps": WARPS}
        _chunk_gradients[grid](dt_raw, z, dy, C, A, dt_bias, grads, length, channels, chunks, raw_row, z_row, dy_row,
                               **tile)
        _combine[(triton.cdiv(channels, COMBINE_BLOCK), d_state, batch)](
            grads, sums, A, unused, unused, channels, chunks, N=d_state, BLOCK=COMBINE_BLOCK, REVERSE=True)
        _gradients[grid](u, dt_raw, z, dy, B, C, A, D, dt_bias, states, grads, du, draw, dz, dB, dC, dD, dbias,
                         length, channels, chunks, u_row, raw_row, z_row, dy_row, **tile)
        dB, dC = (d.sum(1).transpose(1, 2).to(dtype) for d, dtype in zip((dB, dC), ctx.narrow))
        return du, draw, dz, dB, dC, states.sum((0, 1)), dD.sum((0, 1)), dbias.sum((0, 1)), None


def selective_scan(u, dt_raw, z, B, C, A, D, dt_bias, h0):
    return SelectiveScan.apply(u, dt_raw, z, B, C, A, D, dt_bias, h0)
