"""Drives a conformance program with Python's clients: python_clients.py engineio|socketio|client URL. Exit code 0 if all went well."""
import asyncio
import queue
import sys
import time

import engineio
import socketio

TRANSPORTS = [['websocket'], ['polling'], None]


def engineio_echo(url, transports):
    inbox = queue.Queue()
    client = engineio.Client()
    client.on('message', inbox.put)
    client.connect(url, transports=transports, engineio_path='engine.io')
    for message in ['hello', 'ä€😀', b'\x00\x01\xff']:
        client.send(message)
        assert inbox.get(timeout=5) == message
    time.sleep(0.8)  # heartbeats go on
    client.send('still here')
    assert inbox.get(timeout=5) == 'still here'
    client.disconnect()


def socketio_blocking(url, transports):
    inbox = queue.Queue()
    client = socketio.Client(reconnection_delay=0.05)
    client.on('message-back', lambda *args: inbox.put(args))
    client.on('auth', lambda *args: inbox.put(args), namespace='/')
    client.on('auth', lambda *args: inbox.put(('custom', *args)), namespace='/custom')
    client.connect(url, transports=transports, auth={'token': 'abc'}, namespaces=['/', '/custom'], wait_timeout=5)
    got = sorted([inbox.get(timeout=5), inbox.get(timeout=5)], key=len)
    assert got == [({'token': 'abc'},), ('custom', {'token': 'abc'})], got
    assert client.call('message-with-ack', 'one', timeout=5) == 'one'
    assert client.call('message-with-ack', {'deep': [b'\x00\xff', {'b': b''}]}, timeout=5) == {'deep': [b'\x00\xff', {'b': b''}]}
    client.emit('message', ('a', b'bytes', 3))
    assert inbox.get(timeout=5) == ('a', b'bytes', 3)
    time.sleep(0.8)
    assert client.call('message-with-ack', 'alive', timeout=5) == 'alive'
    client.disconnect()


async def socketio_async(url, transports):
    client = socketio.AsyncClient()
    await client.connect(url, transports=transports, auth={'n': 1}, wait_timeout=5)
    assert await client.call('message-with-ack', b'\x01', timeout=5) == b'\x01'
    await client.disconnect()


def refused(url):
    client = socketio.SimpleClient()
    try:
        client.connect(url, namespace='/random', transports=['websocket'])
    except socketio.exceptions.ConnectionError:
        return
    raise AssertionError('an unknown namespace let us in')


def recovering(url, transports):
    inbox = queue.Queue()
    client = socketio.Client()
    client.on('hi', lambda *args: inbox.put(args))
    client.on('ack', lambda: (5, {'test': True}))
    client.on('got it', lambda *args: inbox.put('got it'))
    client.connect(url, transports=transports, wait_timeout=5)
    assert client.call('getId', timeout=5) == client.get_sid()
    client.emit('hi')
    (offset,) = inbox.get(timeout=5)  # a client that knows nothing of recovery sees the offset as an argument
    assert isinstance(offset, str)
    client.emit('ack')
    assert inbox.get(timeout=5) == 'got it'
    client.disconnect()


def main():
    what, url = sys.argv[1:]
    for transports in TRANSPORTS:
        if what == 'engineio':
            engineio_echo(url, transports)
        elif what == 'client':
            recovering(url, transports)
        else:
            socketio_blocking(url, transports)
            asyncio.run(socketio_async(url, transports))
    if what == 'socketio':
        refused(url)


main()
