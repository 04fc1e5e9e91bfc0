// docs/operations.md: each of its command blocks is run, in order, and prints what the page says.
import { testPage } from '../lib/manual.js';
import { startStack } from '../lib/stack.js';

testPage('docs/operations.md', { stack: await startStack({ messaging: 0, notification: 0 }) });
