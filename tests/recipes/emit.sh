#!/bin/sh
# Emits from a shell, with kcat. usage: emit.sh BROKERS ROOM
# -X partitioner=murmur2_random: Java's partitioner, which Tern's topics are written with.
set -eu
brokers=$1 room=$2

emit() { # topic key id, the data on stdin
        kcat -P -b "$brokers" -t "$1" -k "$2" -X partitioner=murmur2_random -H ce_type=tern.emit -H ce_id="$3"
}

# To everybody in the room, durable: who is away gets it when he comes back.
echo '{"event":"order_shipped","args":[{"id":7}]}' | emit chat.events "$room" "kcat-7-shipped-$room"

# To all devices of a user, with bytes: base64 in attachments, a placeholder where they belong.
echo '{"event":"picture","args":[{"png":{"_placeholder":true,"num":0}}],"attachments":["iVBORw0KGgo="]}' |
        emit chat.events user:ada "kcat-picture-$room"

# To who is there now, and to nobody later.
echo '{"event":"progress","args":[50]}' | emit chat.signals "$room" "kcat-progress-$room"
