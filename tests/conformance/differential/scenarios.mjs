// The scenarios that are played in every run, by name.
const eio = (...steps) => ({ program: 'conf-engineio', steps });
const sio = (...steps) => ({ program: 'conf-socketio', steps });
const client = (...steps) => ({ program: 'conf-client', steps });
const open = { ws: 'open' };
const text = (data) => ({ ws: 'text', data });
const binary = (...data) => ({ ws: 'binary', data });
const joined = [open, text('40')];
const get = (query, more) => ({ http: 'GET', query, ...more });
const session = get('EIO=4&transport=polling');

/** Texts that are sent one by one, each on a connection of its own that has joined /. */
const each = (prefix, list, before = joined) => Object.fromEntries(list.map((data) => [`${prefix}: ${data}`, sio(...before, text(data))]));

export const scenarios = {
  // ---- Engine.IO requests ----
  'handshake by polling': eio(session),
  'handshake by WebSocket': eio(open),
  'no query': eio(get(undefined)),
  'a path that is not served': eio(get('EIO=4&transport=polling', { path: '/engine.iox/' })),
  'a path below the prefix': eio(get('EIO=4&transport=polling', { path: '/engine.io/foo' })),
  'unknown transport': eio(get('EIO=4&transport=abc')),
  'WebTransport that is not offered': eio(get('EIO=4&transport=webtransport')),
  'unknown sid': eio(get('EIO=4&transport=polling&sid=unknown')),
  'empty sid': eio(get('EIO=4&transport=polling&sid=')),
  'POST without sid': eio({ http: 'POST', query: 'EIO=4&transport=polling', body: '4x' }),
  'PUT without sid': eio({ http: 'PUT', query: 'EIO=4&transport=polling' }),
  'plain GET for WebSocket': eio(get('EIO=4&transport=websocket')),
  'version 3 by polling': eio(get('EIO=3&transport=polling')),
  'no version': eio(get('transport=polling')),
  'version 3 by WebSocket': eio({ ws: 'open', query: 'EIO=3&transport=websocket' }),
  'unknown sid by WebSocket': eio({ ws: 'open', query: 'EIO=4&transport=websocket&sid=unknown' }),
  'unknown transport by WebSocket': eio({ ws: 'open', query: 'EIO=4&transport=abc' }),
  'a parameter twice': eio(get('EIO=4&transport=polling&transport=polling')),
  'a NUL in the query': eio(get('EIO=4&transport=polling&sid=%00')),
  JSONP: eio(get('EIO=4&transport=polling&j=0')),
  preflight: eio({ http: 'OPTIONS', query: 'EIO=4&transport=polling', headers: { Origin: 'http://a', 'Access-Control-Request-Method': 'POST' } }),
  'PUT with a sid': eio(session, { http: 'PUT', query: 'EIO=4&transport=polling&sid=<sid>' }),
  'DELETE with a sid': eio(session, { http: 'DELETE', query: 'EIO=4&transport=polling&sid=<sid>' }),
  'another transport than the session has': eio(session, get('EIO=4&transport=websocket&sid=<sid>')),
  'a refused handshake': client(get('EIO=4&transport=polling&deny=1')),
  'octet-stream': eio(session, { http: 'POST', query: 'EIO=4&transport=polling&sid=<sid>', body: '4x', headers: { 'Content-Type': 'application/octet-stream' } }, get('EIO=4&transport=polling&sid=<sid>')),
  'a body over the limit': eio(session, { http: 'POST', query: 'EIO=4&transport=polling&sid=<sid>', body: '4'.padEnd(1000001, 'x') }),
  'a body that is no packet': eio(session, { http: 'POST', query: 'EIO=4&transport=polling&sid=<sid>', body: 'abc' }, get('EIO=4&transport=polling&sid=<sid>')),
  'close by polling': eio(session, { http: 'POST', query: 'EIO=4&transport=polling&sid=<sid>', body: '1' }, get('EIO=4&transport=polling&sid=<sid>')),
  'polling after an upgrade': eio(session, { ws: 'open', query: 'EIO=4&transport=websocket&sid=<sid>' }, { ws: 'text', data: '2probe', unmarked: true }, text('5'), get('EIO=4&transport=polling&sid=<sid>')),

  // ---- Engine.IO packets ----
  'payloads of many packets': eio(session, { poll: '4test1\x1e4test2\x1e4test3' }, { poll: 'bAQIDBA==\x1e4ä€😀' }, { poll: 'bAQ\x1eb' }),
  'a trailing separator': eio(session, { http: 'POST', query: 'EIO=4&transport=polling&sid=<sid>', body: '4x\x1e' }, get('EIO=4&transport=polling&sid=<sid>')),
  'a ping by polling': eio(session, { poll: '2' }),
  'unsolicited packets': eio(open, text('3'), text('0'), text('5'), text('6'), text('1')),
  'a ping from the client': eio(open, text('2')),
  'a probe outside an upgrade': eio(open, text('2probe')),
  'an unknown packet': eio(open, text('7')),
  'no packet': eio(open, text('')),
  'text, bytes and bytes as text': eio(open, text('4hello'), binary(1, 2, 3), text('bAQID'), text('b'), binary()),
  'a message over the limit': eio(open, { ws: 'text', data: '4'.padEnd(1000001, 'x') }),
  'a WebSocket that is closed': eio(open, { ws: 'close' }),
  'a WebSocket that is closed with a code': eio(open, { ws: 'close', code: 4000 }),
  'bytes that are no frame': eio(open, { ws: 'bytes', data: [0xff, 0xff, 0xff, 0xff] }),
  'bad UTF-8': eio(open, { ws: 'bytes', data: [0x81, 0x82, 0, 0, 0, 0, 0x34, 0xff] }),

  // ---- Socket.IO ----
  'join, leave, join': sio(...joined, text('41'), text('40'), text('42["message",1]')),
  'two namespaces': sio(...joined, text('40/custom,{"a":1}'), text('41/custom'), text('42["message",1]'), text('40/custom')),
  'an ack': sio(...joined, text('42456["message-with-ack",1,"2",{"3":[false]}]'), text('420["message-with-ack"]'), text('42007["message-with-ack",7]')),
  'bytes back': sio(...joined, { ws: 'text', data: '452-["message",{"_placeholder":true,"num":0},{"a":[{"_placeholder":true,"num":1}]}]', unmarked: true }, { ws: 'binary', data: [1, 2], unmarked: true }, binary(3)),
  'bytes acked': sio(...joined, { ws: 'text', data: '451-9["message-with-ack",{"_placeholder":true,"num":0}]', unmarked: true }, binary(255)),
  'the same bytes twice': sio(...joined, { ws: 'text', data: '451-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]', unmarked: true }, binary(7)),
  'bytes without placeholder': sio(...joined, { ws: 'text', data: '451-["message","x"]', unmarked: true }, binary(7)),
  'placeholders out of order': sio(...joined, { ws: 'text', data: '452-["message",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', unmarked: true }, { ws: 'binary', data: [1], unmarked: true }, binary(2)),
  'a pong between attachments': sio(...joined, { ws: 'text', data: '451-["message",{"_placeholder":true,"num":0}]', unmarked: true }, { ws: 'text', data: '3', unmarked: true }, binary(7)),
  'a placeholder that is replaced': sio(...joined, { ws: 'text', data: '451-["message",{"a":{"_placeholder":true,"num":9},"a":1}]', unmarked: true }, binary(7)),
  'bytes of a packet without payload': sio(...joined, { ws: 'text', data: '451-', unmarked: true }, binary(7)),
  'text between attachments': sio(...joined, { ws: 'text', data: '451-["message",{"_placeholder":true,"num":0}]', unmarked: true }, text('42["message",1]')),
  'an attachment of nothing': sio(...joined, binary(1)),
  'ten attachments': sio(...joined, { ws: 'text', data: '4510-["unknown"]', unmarked: true }, ...Array.from({ length: 9 }, () => ({ ws: 'binary', data: [1], unmarked: true })), binary(1)),
  'bytes by polling': sio(get('EIO=4&transport=polling'), { poll: '40' }, { poll: '451-["message",{"_placeholder":true,"num":0}]\x1ebAQID' }),
  'no CONNECT at all': sio(open, text('42["message",1]')),
  'an ack of nothing': sio(open, text('430[]')),
  ...each('before CONNECT', ['40/,', '40/custom', '40/custom,', '40/random', '40/custom?x=1,', '40[]', '40null', '40"x"', '40{', '40,', '40{}x', '40 {}', '40{"a": [1, "ü"]}', '4abc', '4', '47', '44{"message":"x"}', '41'], [open]),
  ...each('joined', ['40', '40/', '42/custom,["message"]', '43/custom,1[]', '41/custom', '41{}', '42[]', '42[null]', '42[{}]', '42[true]', '42[5,1]', '42["message"', '42["message"]x', "42['message']",
    '42{}', '42"x"', '42null', '42abc["message-with-ack",1]', '42["connect"]', '42["connect_error"]', '42["disconnect"]', '42["disconnecting"]', '42["newListener"]', '42["removeListener"]', '42["conn\\u0065ct"]',
    '42', '43', '43[]', '431[]', '4399999[1]', '431{}', '42["__proto__",1]', '42["unknown",1]', '421["unknown",1]', '451-', '450-["message"]', '45-["message"]', '4511-["message"]', '45999999999999-["message"]', '451["message"]',
    '451-["message",{"_placeholder":true,"num":1}]', '451-["message",{"_placeholder":true,"num":-1}]', '451-["message",{"_placeholder":true,"num":"0"}]', '451-["message",{"_placeholder":true}]',
    '42["message",1.0,1e400,1e2,-0,"\\u0041\\ud800",{"a":1,"a":2}]', '42 ["message-with-ack",1]', '42 [ "message" , 1 , { "a" : "b" } ] ', '42["message","ä€😀\u2028"]', '42["message",{"_placeholder":true,"num":7}]',
    '42["message","\x1e"]', '42["message","\x00"]', '429007199254740991["message-with-ack"]', '429007199254740993["message-with-ack"]', `42["message",${'['.repeat(60)}${']'.repeat(60)}]`, `42["message",${'['.repeat(100)}${']'.repeat(100)}]`,
    `40/${'n'.repeat(200)},`, `40/${'n'.repeat(300)},`]),

  // ---- recovery ----
  'a session that comes back': client(open, text('40'), text('42["hi"]'), text('42["doge"]'), { drop: true }, open, text('40{"pid":"<pid>","offset":"<offset>"}'), text('421["echo",1]')),
  'a session that has missed events': client(open, text('40'), text('42["getUtf8"]'), { drop: true }, open, text('40{"pid":"<pid>","offset":"<offset 2>"}'), text('42["hi"]')),
  'a session that comes back without an offset': client(open, text('40'), { drop: true }, open, text('40{"pid":"<pid>"}')),
  'a session with an unknown offset': client(open, text('40'), text('42["hi"]'), { drop: true }, open, text('40{"pid":"<pid>","offset":"junk"}')),
  'a session that was left': client(open, text('40'), text('42["hi"]'), text('41'), { drop: true }, open, text('40{"pid":"<pid>","offset":"<offset>"}')),
  'a pid that is used twice': client(open, text('40'), text('42["hi"]'), { drop: true }, open, text('40{"pid":"<pid>","offset":"<offset>"}'), { drop: true }, open, text('40{"pid":"<pid>","offset":"<offset>"}')),
  'a pid that is used while it is connected': client(open, text('40'), text('42["hi"]'), { drop: true }, open, text('40{"pid":"<pid>","offset":"<offset>"}'), open, text('40{"pid":"<pid 1>","offset":"<offset 1>"}')),
  'refused with data': client(open, text('40/no,'), text('40{"refuse":{"message":"m","data":{"x":[1]}}}')),
  'the server leaves': client(open, text('40'), text('42["server disconnect"]'), text('40')),
  'the server closes': client(open, text('40'), text('42["server disconnect",true]')),
};
