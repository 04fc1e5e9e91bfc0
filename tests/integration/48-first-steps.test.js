// docs/first-steps.md: a new user's first quarter of an hour, on the well-known ports.
import { testPage } from '../lib/manual.js';

testPage('docs/first-steps.md', { timeoutMs: 120000 });
