"""Publishes a ModelTrained event to Kafka with the official packages cloudevents and confluent-kafka.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python publish.py --brokers 127.0.0.1:9092 --mode binary ../flights/v1.json

In binary mode the event's attributes are headers and its data is the value; in structured mode all of it is the value.
The same event sent again starts nothing: its source and id name it.
"""

import argparse
import sys

from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Producer

MODES = {"binary": kafka.to_binary_event, "structured": kafka.to_structured_event}


def by_model(event):
    """The key: versions of a model stay in their order."""
    return event.get_data()["model"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--brokers", required=True, help="host:port, separated by commas")
    arguments.add_argument("--topic", default="model-trained")
    arguments.add_argument("--mode", choices=sorted(MODES), default="binary")
    arguments.add_argument("--times", type=int, default=1, help="how often, to see that repeats start nothing")
    arguments.add_argument("events", nargs="+", metavar="EVENT.json")
    told = arguments.parse_args()

    # With acks=all and idempotence an event that was acknowledged is kept, once and in order.
    producer = Producer({"bootstrap.servers": told.brokers, "acks": "all", "enable.idempotence": True})
    failed = []

    def landed(error, message):
        if error is not None:
            failed.append(str(error))

    for path in told.events:
        with open(path, "rb") as file:
            event = JSONFormat().read(CloudEvent, file.read())
        message = MODES[told.mode](event, key_mapper=by_model)
        for _ in range(told.times):
            producer.produce(
                told.topic, value=message.value, key=message.key, headers=message.headers, on_delivery=landed
            )
            producer.poll(0)
    producer.flush()
    if failed:
        sys.exit(f"{len(failed)} events were not written: {failed[0]}")
    print(f"{len(told.events) * told.times} written to {told.topic} in {told.mode} mode")


if __name__ == "__main__":
    main()
