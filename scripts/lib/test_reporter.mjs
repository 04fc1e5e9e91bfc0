// Node's test events as one JSON line for each test that ended, for scripts/test.
function reason(error) {
  const cause = error?.cause ?? error;
  const text = typeof cause === 'string' ? cause : (cause?.stack ?? cause?.message ?? String(cause));
  return cause?.code === 'ERR_ASSERTION' && !String(text).includes(cause.message) ? `${cause.message}\n${text}` : text;
}

export default async function* reporter(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    yield `${JSON.stringify({
      ok: type === 'test:pass',
      name: data.name,
      nesting: data.nesting,
      ms: Math.round(data.details?.duration_ms ?? 0),
      skipped: data.skip !== undefined && data.skip !== false,
      todo: data.todo !== undefined && data.todo !== false,
      error: type === 'test:fail' ? reason(data.details?.error) : undefined,
    })}\n`;
  }
}
