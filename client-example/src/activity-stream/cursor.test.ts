import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { compareCursors, laterCursor } from './cursor.ts';

const part = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

test('cursors are ordered as pairs of integers, beyond what a number holds', () => {
  fc.assert(
    fc.property(part, part, part, part, (a, b, c, d) => {
      const expected = a !== c ? (a < c ? -1 : 1) : b !== d ? (b < d ? -1 : 1) : 0;
      assert.equal(Math.sign(compareCursors(`${a}-${b}`, `${c}-${d}`)), expected);
    }),
  );
});

test('the later of two is the one that is further in the log, not the one that is later in the alphabet', () => {
  assert.equal(laterCursor('9-0', '10-0'), '10-0');
  assert.equal(laterCursor('10-2', '10-10'), '10-10');
});
