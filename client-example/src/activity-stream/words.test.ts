import assert from 'node:assert/strict';
import test from 'node:test';
import { EMPTY } from './snapshot.ts';
import { describe, describeAge } from './words.ts';

test('a stream that is live has nothing to say but its name', () => {
  assert.deepEqual(describe({ ...EMPTY, status: 'live' }, 0), { tone: 'quiet', label: 'Live', text: '', next: '', canTry: false });
});

test('polling says how often, and when the stream is tried again', () => {
  const polling = { ...EMPTY, status: 'polling', pollEvery: 5_000, nextAttemptAt: 43_400 } as const;
  const { text, next, canTry } = describe(polling, 1_000);
  assert.equal(text, 'Live updates are paused. Checking every 5 s.');
  assert.equal(next, 'Next live attempt in 42 s');
  assert.equal(canTry, true);
});

test('an attempt that is due is never in the past', () => {
  assert.match(describe({ ...EMPTY, status: 'polling', nextAttemptAt: 1_000 }, 9_000).next, /in 0 s$/);
});

test('the age is told once something was heard, in minutes when it is long', () => {
  assert.equal(describeAge(EMPTY, 9_000), '');
  assert.equal(describeAge({ ...EMPTY, lastHeardAt: 5_000 }, 9_000), 'last update 4 s ago');
  assert.equal(describeAge({ ...EMPTY, lastHeardAt: 0 }, 600_000), 'last update 10 min ago');
});
