# Emits from Python, with confluent-kafka. usage: emit.py BROKERS ROOM
import base64
import json
import sys
import uuid

from confluent_kafka import Producer

brokers, room = sys.argv[1:]
# murmur2_random is Java's partitioner, which Tern's topics are written with.
producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "enable.idempotence": True})


def emit(topic, key, event, *args, attachments=()):
    data = {"event": event, "args": args}
    if attachments:
        data["attachments"] = [base64.b64encode(bytes_).decode() for bytes_ in attachments]
    producer.produce(topic, key=key, value=json.dumps(data), headers={"ce_type": "tern.emit", "ce_id": str(uuid.uuid4())})


# To everybody in the room, durable: who is away gets it when he comes back.
emit("chat.events", room, "order_shipped", {"id": 7})
# To all devices of a user, with bytes.
emit("chat.events", "user:ada", "picture", {"png": {"_placeholder": True, "num": 0}}, attachments=[b"\x89PNG\r\n\x1a\n"])
# To who is there now, and to nobody later.
emit("chat.signals", room, "progress", 50)
if producer.flush(10) > 0:
    sys.exit("not everything was written")
