// Cursors are opaque but ordered. Text order is not their order: '9-0' is before '10-0'.
import type { Cursor } from './operations.ts';

/** Negative, 0 or positive, as for `sort`. Both parts may exceed what a number holds exactly. */
export function compareCursors(a: Cursor, b: Cursor): number {
  const [aTime = '', aSequence = ''] = a.split('-');
  const [bTime = '', bSequence = ''] = b.split('-');
  return compareDigits(aTime, bTime) || compareDigits(aSequence, bSequence);
}

export function laterCursor(a: Cursor, b: Cursor): Cursor {
  return compareCursors(a, b) >= 0 ? a : b;
}

/** Non-negative integers without leading zeros. */
function compareDigits(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
