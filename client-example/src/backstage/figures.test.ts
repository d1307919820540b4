import assert from 'node:assert/strict';
import test from 'node:test';
import type { Mode, TransportSwitch } from '../activity-stream/index.ts';
import { inMilliseconds, line, percentile, stretches } from './figures.ts';

const change = (at: number, from: Mode, to: Mode): TransportSwitch => ({ at, from, to, reason: 'stream failed', detail: null, cursor: null });

test('percentiles are numbers that occurred', () => {
  assert.equal(percentile([], 0.5), null);
  assert.equal(percentile([5], 0.95), 5);
  assert.equal(percentile([4, 1, 3, 2], 0.5), 2);
  assert.equal(percentile(Array.from({ length: 100 }, (_, n) => n + 1), 0.95), 95);
});

test('spans of time are short enough to read', () => {
  assert.deepEqual([null, 12.4, 999, 1_250].map(inMilliseconds), ['–', '12 ms', '999 ms', '1.3 s']);
});

test('the timeline shows each transport for as long as it carried the feed', () => {
  const switches = [change(50, 'sse', 'polling'), change(75, 'polling', 'sse')];
  assert.deepEqual(stretches(switches, 'sse', 0, 100, 100), [
    { mode: 'sse', from: 0, to: 0.5 },
    { mode: 'polling', from: 0.5, to: 0.75 },
    { mode: 'sse', from: 0.75, to: 1 },
  ]);
});

test('what was before the time shown is left out', () => {
  assert.deepEqual(stretches([change(10, 'sse', 'polling')], 'polling', 0, 100, 50), [{ mode: 'polling', from: 0, to: 1 }]);
  assert.deepEqual(stretches([], 'sse', 75, 100, 50), [{ mode: 'sse', from: 0.5, to: 1 }]);
});

test('the line fills its box', () => {
  assert.equal(line([0, 10, 5], 20, 10), '0.0,10.0 10.0,0.0 20.0,5.0');
  assert.equal(line([0], 20, 10), '0.0,10.0');
});
