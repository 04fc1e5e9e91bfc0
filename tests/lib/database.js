// Questions to a stack's Postgres. Each has a connection of its own, because the tests kill the server.
import pg from 'pg';
import { waitFor } from './wait.js';

export async function sql(stack, text, params = []) {
  const client = new pg.Client({ connectionString: stack.dsn, connectionTimeoutMillis: 5000 });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(text, params)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Ids of a conversation's stored messages by seq. */
export async function storedIds(stack, conversationId) {
  const rows = await sql(stack, 'SELECT id FROM message WHERE conversation_id = $1 ORDER BY seq', [conversationId]);
  return rows.map((r) => r.id);
}

/** Waits until the conversation holds this many messages, and returns their ids by seq. */
export async function waitStored(stack, conversationId, count, timeoutMs = 20000) {
  let ids = [];
  await waitFor(
    () => `${count} messages of ${conversationId} in Postgres, there are ${ids.length}`,
    async () => {
      ids = await storedIds(stack, conversationId);
      return ids.length >= count;
    },
    timeoutMs,
  );
  return ids;
}
