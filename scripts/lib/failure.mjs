// What a person should read as one sentence, without a stack trace. Anything else that is thrown is a bug of ours.
export class Failure extends Error {}

const meanings = {
  ENOSPC: 'the disk is full',
  EACCES: 'permission denied',
  EROFS: 'the file system is read-only',
  EMFILE: 'too many open files',
};

/** The sentence for an error, or null if it is not the world's but ours. */
export function sentenceOf(error) {
  if (error instanceof Failure) return error.message;
  if (meanings[error?.code]) return `${meanings[error.code]}${error.path ? ` (${error.path})` : ''}`;
  return null;
}

/** Prints the error the way it deserves and sets the exit code. */
export function report(program, error) {
  const sentence = sentenceOf(error);
  console.error(sentence ? `${program}: ${sentence}` : error);
  process.exitCode = 1;
}
