"""Measures the versions: quality on tests and traffic, and the traffic's drift from the training data."""

import numpy as np
import onnxruntime
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from dataset import NAMES, matrix

MONTHS = ["September", "October", "November", "December"]
METRICS = ["auc", "label-match", "f1", "log-loss"]


def answers(model_bytes, features):
    """Returns probability and label of each row, by onnxruntime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
    probability, label = session.run(["probability", "label"], {"features": features})
    return probability[:, 0].astype(np.float64), label


def quality(truth, probability, label):
    return {
        "n": len(truth),
        "auc": round(float(roc_auc_score(truth, probability)), 4),
        "label-match": round(float(np.mean(truth == label)), 4),
        "f1": round(float(f1_score(truth, label)), 4),
        "log-loss": round(float(log_loss(truth, np.clip(probability, 1e-7, 1 - 1e-7))), 4),
    }


def profile(rows):
    """Returns the quantile profile: bin i holds x with edges[i-1] < x <= edges[i]."""
    features = []
    for name in NAMES:
        values = rows[name].to_numpy(dtype=np.float32)
        edges = np.unique(np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf"))
        edges = edges[edges < values.max()]
        counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
        shown = [float(np.format_float_positional(edge, trim="-")) for edge in edges]
        features.append({"name": name, "edges": shown, "counts": [int(count) for count in counts]})
    return {"method": "psi/ref-quantile-10", "n": len(rows), "features": features}


def psi(feature, values):
    """Population stability index; half a count is added to each bin so that empty ones stay finite."""
    edges = np.asarray(feature["edges"], dtype=np.float32)
    seen = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) + 0.5
    expected = np.asarray(feature["counts"]) + 0.5
    seen, expected = seen / seen.sum(), expected / expected.sum()
    return float(np.sum((seen - expected) * np.log(seen / expected)))


def table(header, rows):
    """Returns a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def report(versions, traffic):
    """Returns the measured part of the README. `versions`: name, model bytes, test rows, profile."""
    truth, newark = traffic["label"].to_numpy(), (traffic["origin"] == "EWR").to_numpy()
    hub = newark & (traffic["carrier_network"] == 1).to_numpy()
    month = traffic["month"].to_numpy()
    parts = {"traffic": np.full(len(traffic), True), "first 5,000 rows": np.arange(len(traffic)) < 5_000}
    parts |= {"hub: EWR, network carriers": hub, "all but the hub": ~hub}
    for airport in ("EWR", "JFK", "LGA"):
        parts[airport] = (traffic["origin"] == airport).to_numpy()
    for group in ("regional", "low_cost", "network"):
        parts["carrier " + group] = (traffic["carrier_" + group] == 1).to_numpy()
    for number, name in enumerate(MONTHS, start=9):
        parts[name] = month == number
    shared = next(version["test"] for version in versions if version["name"] == "v2")
    lines, live = [], {}
    for version in versions:
        live[version["name"]] = answers(version["model"], matrix(traffic))
        for title, rows in (("its own test", version["test"]), ("v2's test", shared)):
            row = quality(rows["label"].to_numpy(), *answers(version["model"], matrix(rows)))
            lines.append(
                [version["name"], title, row["n"], f"{rows['label'].mean():.3f}"] + [row[m] for m in METRICS]
            )
        row = quality(truth, *live[version["name"]])
        lines.append(
            [version["name"], "traffic", row["n"], f"{truth.mean():.3f}"] + [row[m] for m in METRICS]
        )
    text = [
        "### Quality",
        table(["version", "rows", "n", "late", "AUC", "label match", "F1", "log loss"], lines),
    ]
    lines = []
    for title, part in parts.items():
        cells = [title, int(part.sum()), f"{truth[part].mean():.3f}"]
        measured = [quality(truth[part], p[part], label[part]) for p, label in live.values()]
        lines.append(cells + [m["label-match"] for m in measured] + [m["auc"] for m in measured])
    names = [version["name"] for version in versions]
    header = (
        ["part of the traffic", "n", "late"] + [f"match {n}" for n in names] + [f"AUC {n}" for n in names]
    )
    text += ["### The traffic by part: label match and AUC", table(header, lines), windows(truth, live)]
    text.append(drift(versions, traffic))
    return "\n\n".join(text)


def windows(truth, live):
    """Returns how the versions compare in windows of rows that follow each other, as a rollout sees them."""
    matches = {name: label == truth for name, (_, label) in live.items()}
    lines = []
    for size in (1_000, 5_000):
        means = {
            n: [m[i : i + size].mean() for i in range(0, len(m) - size + 1, size)] for n, m in matches.items()
        }
        for better, worse in (("v2", "v1"), ("v2", "v3")):
            gain = np.subtract(means[better], means[worse])
            low, middle, high = (f"{value:+.3f}" for value in np.quantile(gain, [0.05, 0.5, 0.95]))
            lines.append(
                [f"{better} over {worse}", size, len(gain), f"{np.mean(gain > 0):.3f}", low, middle, high]
            )
    header = ["label match", "rows a window", "windows", "share with a gain", "5 %", "median gain", "95 %"]
    return "### Windows of the traffic in its order\n\n" + table(header, lines)


def drift(versions, traffic):
    month = traffic["month"].to_numpy()
    baseline = next(version["profile"] for version in versions if version["name"] == "v2")
    lines = []
    for feature in baseline["features"]:
        values = traffic[feature["name"]].to_numpy(dtype=np.float32)
        months = [f"{psi(feature, values[month == number]):.2f}" for number in range(9, 13)]
        windows = [psi(feature, values[i : i + 1000]) for i in range(0, len(values) - 999, 1000)]
        lines.append(
            [f"`{feature['name']}`", *months, f"{np.median(windows):.2f}", f"{np.quantile(windows, 0.9):.2f}"]
        )
    header = ["feature", *MONTHS, "1,000 rows: median", "9 of 10 below"]
    return "### Drift: PSI against v2's training data\n\n" + table(header, lines)
