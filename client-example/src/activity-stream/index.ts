// One stream of activities, whatever carries it. See README.md.
export type * from './operations.ts';
export type * from './types.ts';
export { compareCursors } from './cursor.ts';
export { EMPTY as EMPTY_SNAPSHOT } from './snapshot.ts';
export { createActivityStream } from './stream.ts';
export { describe, describeAge, type Description } from './words.ts';
