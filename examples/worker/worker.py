"""A worker in Python, for the stage `gate`: tells people by a webhook that they are waited for. To be copied: what it does
is `carry_out`, all else is docs/worker-protocol.md and stays as it is.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python -m grpc_tools.protoc -I ../../proto --python_out=venv ../../proto/modelrail/v1/*.proto
    PYTHONPATH=venv MODELRAIL_NOTIFY__WEBHOOK=https://chat.example/hook venv/bin/python worker.py

Its settings are those of `modelrail worker`, by the same names in the environment.
"""

import json
import os
import queue
import signal
import sqlite3
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from google.protobuf.message import DecodeError
from modelrail.v1.message_pb2 import Heartbeat, Report, Said, WorkerAnswer, WorkOrder
from modelrail.v1.outcome_pb2 import Outcome


def setting(name, default):
    return os.environ.get(f"MODELRAIL_{name}", default)


STAGE, KIND, WEBHOOK = "gate", "notify", setting("NOTIFY__WEBHOOK", "http://127.0.0.1:8080/")
POOL, BACKLOG = int(setting("WORKERS__GATE", "4")), int(setting("LIMITS__BACKLOG_MAX", "8"))
BROKERS, PREFIX = setting("KAFKA__BROKERS", "127.0.0.1:9092"), setting("KAFKA__PREFIX", "modelrail.")
INSTANCE, FOLDER = setting("KAFKA__INSTANCE", ""), setting("STORE__DATA", "worker-data")
PARTITIONS = int(setting("STORE__PARTITIONS", "16"))
# Seconds.
HEARTBEAT_EVERY, BEGIN_WITHIN, RESEND_AFTER, CLOSED_KEPT = 2, 30, 35, 86400


def carry_out(command, is_cancelled):
    """Does what is ordered, and says what came of it. After a crash it is called again with the same effect key."""
    order = command.order.notify
    text = f"{command.target}: {order.release.version} waits in `{order.stage}`, evidence {order.evidence.hex()}"
    headers = {"content-type": "application/json", "idempotency-key": command.effect_key.hex()}
    if not is_cancelled():  # before each step outside
        request = urllib.request.Request(WEBHOOK, json.dumps({"text": text}).encode(), headers)
        urllib.request.urlopen(request, timeout=20).close()
    return Outcome(notified=Outcome.Notified(delivered=["webhook"]))


def could_not_tell(code, reason):
    return WorkerAnswer(done=Outcome(could_not_tell=Outcome.CouldNotTell(code=code, reason=reason)))


def partition_of(target):
    """FNV-1a of 64 bits: where the target is decided."""
    value = 0xCBF29CE484222325
    for byte in target.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value % PARTITIONS


class Worker:
    def __init__(self):
        # What was taken and answered, by this process and by those before it. Each statement is kept when it is over.
        os.makedirs(FOLDER, exist_ok=True)
        self.journal = sqlite3.connect(os.path.join(FOLDER, "journal.sqlite"), isolation_level=None)
        self.journal.execute("PRAGMA journal_mode=WAL")
        self.journal.execute("CREATE TABLE IF NOT EXISTS attempts (attempt TEXT PRIMARY KEY, work BLOB, answer BLOB, closed REAL)")
        self.waiting, self.under_way, self.unacknowledged = {}, {}, {}  # by attempt
        self.finished, self.pool = queue.SimpleQueue(), ThreadPoolExecutor(POOL)
        self.is_ending, self.is_paused, self.beaten_at = False, False, 0.0
        client = {"bootstrap.servers": BROKERS, "client.id": f"worker-{STAGE}.{INSTANCE or os.getpid()}"}
        self.source = f"/modelrail/worker/{client['client.id']}"
        self.producer = Producer({**client, "acks": "all", "enable.idempotence": True, "message.timeout.ms": 30000})
        # Offsets that are stored are soon committed: they are stored when the journal has what was taken, not before.
        member = {"group.id": PREFIX + STAGE, "partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 6000,
                  "enable.auto.offset.store": False, "auto.commit.interval.ms": 200, "auto.offset.reset": "earliest"}
        self.commands = Consumer({**client, **member, **({"group.instance.id": INSTANCE} if INSTANCE else {})})
        # What is given to it may be paused since it was taken away while it was, and may not be paused when it is full.
        self.commands.subscribe([f"{PREFIX}commands.{STAGE}"], on_assign=lambda *_: setattr(self, "is_paused", None))
        # Every worker reads all cancels that there are, the topic keeps those of an hour: its journal may hold what they mean.
        self.cancels = Consumer({**client, "group.id": PREFIX + "follower", "enable.auto.commit": False})
        self.cancels.assign([TopicPartition(PREFIX + "cancels", 0, OFFSET_BEGINNING)])

    def run(self):
        taken = self.journal.execute("SELECT attempt, work, answer FROM attempts WHERE closed IS NULL ORDER BY rowid")
        for attempt, work, answer in taken.fetchall():
            order = WorkOrder.FromString(work)
            if answer is None:
                self.wait(attempt, order)
            else:
                self.send(attempt, order, WorkerAnswer.FromString(answer))
        while not self.is_ending:
            if (len(self.waiting) >= BACKLOG) != self.is_paused:
                self.is_paused = len(self.waiting) >= BACKLOG
                (self.commands.pause if self.is_paused else self.commands.resume)(self.commands.assignment())
            record = self.commands.poll(0.02)
            if record is not None and record.error() is None:
                self.take((record.key() or b"").decode(), record.value() or b"")
                self.commands.store_offsets(record)
            self.look_around()
        self.commands.close()
        while self.waiting:
            self.answer(self.waiting.pop(next(iter(self.waiting))), WorkerAnswer(declined="the worker ends"))
        while self.under_way or self.unacknowledged:
            time.sleep(0.02)
            self.look_around()

    def wait(self, attempt, order):
        self.waiting[attempt] = SimpleNamespace(attempt=attempt, order=order, since=time.monotonic(), is_cancelled=False)

    def take(self, attempt, value):
        try:
            order = WorkOrder.FromString(value)
            if not order.command.target:
                raise DecodeError("expected a target, but there is none")
        except DecodeError as error:
            return print(f"{attempt}: {error}", flush=True)  # nobody can be answered
        known = self.journal.execute("SELECT answer FROM attempts WHERE attempt = ?", (attempt,)).fetchone()
        if known is None:
            self.journal.execute("INSERT INTO attempts VALUES (?, ?, NULL, NULL)", (attempt, value))
            self.wait(attempt, order)
        elif known[0] is not None:
            self.send(attempt, order, WorkerAnswer.FromString(known[0]))

    def look_around(self):
        while (record := self.cancels.poll(0)) is not None:
            if record.error() is None:
                self.cancel((record.key() or b"").decode())
        while not self.finished.empty():
            work, answer = self.finished.get()
            del self.under_way[work.attempt]
            if not work.is_cancelled:
                self.answer(work, answer)
        now = time.monotonic()
        for attempt, work in list(self.waiting.items()):
            if work.order.command.order.WhichOneof("order") != KIND:
                self.answer(self.waiting.pop(attempt), could_not_tell("ORDER_UNREADABLE", f"expected an order of kind {KIND}"))
            elif len(self.under_way) < POOL:
                self.under_way[attempt] = self.waiting.pop(attempt)
                self.pool.submit(self.carry_out, work)
            elif now - work.since > BEGIN_WITHIN:
                self.answer(self.waiting.pop(attempt), WorkerAnswer(declined=f"not begun within {BEGIN_WITHIN} s"))
        if now - self.beaten_at > HEARTBEAT_EVERY:
            self.beaten_at, at = now, int(time.time() * 1000)
            for work in [*self.under_way.values(), *self.waiting.values()]:
                if not work.is_cancelled:
                    name, headers = work.order.command.attempt, self.headers(f"{work.attempt}@{at}", "heartbeat")
                    beat = Heartbeat(attempt=name, at=at, is_begun=work.attempt in self.under_way)
                    self.producer.produce(PREFIX + "heartbeats", beat.SerializeToString(), work.attempt, headers=headers)
        for attempt, (order, answer, sent_at) in list(self.unacknowledged.items()):
            if now - sent_at > RESEND_AFTER:
                self.send(attempt, order, answer)
        self.producer.poll(0)

    def carry_out(self, work):
        try:
            answer = WorkerAnswer(done=carry_out(work.order.command, lambda: work.is_cancelled))
        except Exception as error:  # whatever it is: the engine decides whether it is tried again
            answer = could_not_tell("WORKER_FAILED", repr(error))
        self.finished.put((work, answer))

    def cancel(self, attempt):
        work = self.waiting.pop(attempt, None) or self.under_way.get(attempt)
        if work is not None:
            work.is_cancelled = True
            answer = WorkerAnswer(declined="cancelled").SerializeToString()
            self.journal.execute("UPDATE attempts SET answer = ?, closed = ? WHERE attempt = ?", (answer, time.time(), attempt))

    def close(self, attempt):
        self.journal.execute("UPDATE attempts SET closed = ? WHERE attempt = ?", (time.time(), attempt))
        self.journal.execute("DELETE FROM attempts WHERE closed < ?", (time.time() - CLOSED_KEPT,))

    def answer(self, work, answer):
        kept = (answer.SerializeToString(), work.attempt)
        self.journal.execute("UPDATE attempts SET answer = ? WHERE attempt = ?", kept)
        self.send(work.attempt, work.order, answer)

    def send(self, attempt, order, answer):
        def landed(error, _record):
            if error is None:  # what may not have landed is sent again
                self.close(attempt)
                self.unacknowledged.pop(attempt, None)

        self.unacknowledged[attempt] = (order, answer, time.monotonic())
        said = Said(report=Report(attempt=order.command.attempt, token=order.token, answer=answer))
        target, headers = order.command.target, self.headers(attempt, "outcome")
        self.producer.produce(PREFIX + "outcomes", said.SerializeToString(), target, partition_of(target), landed, headers=headers)

    def headers(self, name, kind):
        return {"ce_specversion": "1.0", "ce_id": name, "ce_type": f"io.modelrail.{kind}.v1", "ce_source": self.source,
                "content-type": "application/protobuf"}


if __name__ == "__main__":
    worker = Worker()
    signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "is_ending", True))
    worker.run()
