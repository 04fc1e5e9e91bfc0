// Postgres at the end, as a part of the history.
import pg from 'pg';

const questions = [
  ['event', 'SELECT conversation_id AS room, seq, type, id, data FROM chat_event ORDER BY conversation_id, seq'],
  ['message', 'SELECT conversation_id AS room, seq, id, sender_id AS sender, content FROM message ORDER BY conversation_id, seq'],
  ['notice', 'SELECT topic, key, seq, type, id, data FROM notification_event ORDER BY topic, key, seq'],
  ['notification', 'SELECT id, seq, user_id AS user, title FROM notification ORDER BY seq'],
  ['broadcast', 'SELECT id, seq, audience, title FROM broadcast ORDER BY seq'],
];

export async function withDatabase(dsn, work) {
  const client = new pg.Client({ connectionString: dsn, connectionTimeoutMillis: 5000 });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Rows by their questions' names; seq as a number, data as an object. */
export function writeArchive(dsn, history) {
  return withDatabase(dsn, async (client) => {
    for (const [k, text] of questions) {
      for (const row of (await client.query(text)).rows) history.note('archive', { k, ...row, seq: Number(row.seq), ...(row.data !== undefined && { data: JSON.parse(row.data) }) });
    }
  });
}

/** How many of these texts are there, and how many rows wait for the relay. */
export function standing(dsn, contents, titles) {
  return withDatabase(dsn, async (client) => {
    const one = async (text, list) => Number((await client.query(text, list && [list])).rows[0].n);
    return {
      messages: await one('SELECT count(*) AS n FROM message WHERE content = ANY($1)', contents),
      notifications: await one('SELECT count(*) AS n FROM notification WHERE title = ANY($1)', titles),
      outbox: await one('SELECT count(*) AS n FROM tern_outbox'),
    };
  });
}
