"""The Markdown of a file that tools/gpu_check wrote."""

COSTS = [("grid_barrier_us", "barrier of the whole grid (cooperative groups)"),
         ("counter_barrier_us", "barrier by one counter"),
         ("cluster_barrier_4_us", "barrier of a cluster of 4 blocks"),
         ("cluster_barrier_8_us", "barrier of a cluster of 8 blocks"),
         ("stream_kernel_us", "kernel in a stream"),
         ("graph_node_us", "kernel in a graph"),
         ("graph_node_overlapped_us", "kernel in a graph, with programmatic dependent launch"),
         ("round_trip_us", "kernel, a word to the host, waiting for it")]


def speed(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def percent(share):
    return "" if share is None else f"{100 * share:.0f} %"


def markdown(titles, rows):
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def unique(values):
    return list(dict.fromkeys(values))


def find(results, **wanted):
    for row in results:
        if all(row.get(key) == value for key, value in wanted.items()):
            return row
    return {}


def decode_table(results):
    results = [row for row in results if not row["n_prompt"]]
    batches = sorted({row["batch"] for row in results})
    titles = ["shape", "weights"]
    for batch in batches:
        titles += [f"{batch} sequence{'s' if batch > 1 else ''}, tok/s", "share"]
    rows = []
    for model, dtype in unique((row["model"], row["dtype"]) for row in results):
        cells = [model, dtype]
        for batch in batches:
            row = find(results, model=model, dtype=dtype, batch=batch)
            cells += [speed(row.get("tok_s", {}).get("median")), percent(row.get("read_share"))]
        rows.append(cells)
    return markdown(titles, rows) if rows else ""


def prefill_table(results, matmul_tflop_s):
    results = [row for row in results if row["n_prompt"]]
    lengths = sorted({row["n_prompt"] for row in results})
    titles = ["shape", "weights"]
    for length in lengths:
        titles += [f"prompt of {length}, tok/s", "TFLOP/s"] + (["share"] if matmul_tflop_s else [])
    rows = []
    for model, dtype in unique((row["model"], row["dtype"]) for row in results):
        cells = [model, dtype]
        for length in lengths:
            row = find(results, model=model, dtype=dtype, n_prompt=length)
            tflop_s = row.get("tflop_s")
            cells += [speed(row.get("tok_s", {}).get("median")),
                      "" if tflop_s is None else f"{tflop_s:.1f}"]
            if matmul_tflop_s:
                cells.append(percent(tflop_s / matmul_tflop_s if tflop_s is not None else None))
        rows.append(cells)
    return markdown(titles, rows) if rows else ""


def peers_table(peers, results):
    rows = []
    for peer in peers.get("results", []):
        if peer["n_prompt"]:
            test = f"prompt of {peer['n_prompt']}"
            ours = find(results, model=peer["model"], dtype=peer["dtype"],
                        n_prompt=peer["n_prompt"])
        else:
            test = "decoding, 1 sequence"
            ours = find(results, model=peer["model"], dtype=peer["dtype"], n_prompt=0, batch=1)
        median = ours.get("tok_s", {}).get("median")
        rows.append([peer["model"], peer["dtype"], test, speed(median), speed(peer["tok_s"]),
                     f"{median / peer['tok_s']:.1f}" if median else ""])
    titles = ["shape", "weights", "test", "krait, tok/s", "transformers, tok/s", "times"]
    return markdown(titles, rows) if rows else ""


def costs_table(micro):
    rows = [[words, f"{micro[key]:.2f}"] for key, words in COSTS if micro.get(key) is not None]
    return markdown(["cost", "µs"], rows) if rows else ""


def parity_table(stage):
    rows = []
    for row in stage.get("logits", []):
        same = row.get("same_bits", {})
        error = "not a number" if row["error"] is None else f"{row['error']:.1e}"
        rows.append([row["model"], row["dtype"], error, f"{row['tolerance']:.0e}",
                     "yes" if same and all(same.values()) else "no" if same else ""])
    return markdown(["model", "weights", "largest difference", "allowed",
                     "same bits in any chunks"], rows) if rows else ""


def heading(report):
    device = report["stages"].get("device", {})
    micro = report["stages"].get("micro", {})
    parts = [device.get("name") or report.get("device", "")]
    if device.get("driver"):
        parts.append(f"driver {device['driver']}")
    for key, what in (("read_plain_gb_s", "plain loads"), ("read_bulk_gb_s", "bulk copies")):
        if micro.get(key):
            parts.append(f"{micro[key]:.0f} GB/s read by {what}")
    peers = report["stages"].get("peers", {})
    if peers.get("matmul_tflop_s"):
        parts.append(f"{peers['matmul_tflop_s']:.0f} TFLOP/s in a large bf16 product (PyTorch)")
    return f"{'; '.join(p for p in parts if p)}. krait {report['krait']}, {report['date']}."


def checks_list(report):
    words = []
    for name, stage in report["stages"].items():
        text = f"- {name}: {stage['status']}"
        if name == "tests" and "tests" in stage:
            text += ", " + ", ".join(f"{stage[key]} {key}" for key in (
                "tests", "failed", "skipped"))
        if name == "sanitize" and "runs" in stage:
            text += f", {stage['clean']} of {stage['runs']} runs clean"
        if name == "soak" and stage.get("tokens"):
            text += f", {stage['tokens']:,} tokens at {stage['tok_s']:,.0f} tok/s"
            for key, what in (("gpu_growth_mib", "MiB more memory of the GPU at the end"),
                              ("process_growth_mib", "MiB more of the host"),
                              ("last_third_speed", "times the speed in the last third")):
                text += f", {stage[key]} {what}" if stage.get(key) is not None else ""
        for row in stage.get("batch", []) if name == "parity" else []:
            text += f", {row['model']} {row['same']} of {row['prompts']} texts the same in a batch"
        words.append(text)
        words += [f"  - {problem}" for problem in stage.get("problems", [])]
    return "\n".join(words)


def render(report):
    stages = report["stages"]
    results = stages.get("bench", {}).get("results", [])
    peers = stages.get("peers", {})
    parts = [heading(report), decode_table(results),
             prefill_table(results, peers.get("matmul_tflop_s")), peers_table(peers, results),
             costs_table(stages.get("micro", {})), parity_table(stages.get("parity", {})),
             checks_list(report)]
    return "\n\n".join(part for part in parts if part)
