// docs/operations.md: each of its command blocks is run, in order, and prints what the page says.
import { testPage } from '../lib/manual.js';
import { startStack } from '../lib/stack.js';

const stack = await startStack({ messaging: 0, notification: 0 });
testPage('docs/operations.md', { stack, env: { TERN_KAFKA_BOOTSTRAP_SERVERS: stack.bootstrap, TERN_POSTGRES_DSN: stack.dsn } });
