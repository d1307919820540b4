// Numbers and shapes for Backstage, without React.
import type { Mode, TransportSwitch } from '../activity-stream/index.ts';

/** The value below which this share (0 to 1) of the numbers lies; null without numbers. */
export function percentile(numbers: readonly number[], share: number): number | null {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

export function inMilliseconds(value: number | null): string {
  if (value === null) return '–';
  return value < 1_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

export interface Stretch {
  mode: Mode;
  /** 0 to 1 of the time that is shown. */
  from: number;
  to: number;
}

/** Which transport carried the feed, from `now - span` until now. All times in milliseconds. */
export function stretches(switches: readonly TransportSwitch[], mode: Mode, startedAt: number, now: number, span: number): Stretch[] {
  const start = Math.max(startedAt, now - span);
  const place = (at: number) => Math.min(1, Math.max(0, (at - (now - span)) / span));
  const found: Stretch[] = [];
  let from = start;
  for (const one of switches) {
    if (one.at <= start) continue;
    found.push({ mode: one.from, from: place(from), to: place(one.at) });
    from = one.at;
  }
  return [...found, { mode, from: place(from), to: 1 }];
}

/** Points of a line over the newest numbers, in a box of `width` by `height`; the highest touches the top. */
export function line(numbers: readonly number[], width: number, height: number): string {
  const highest = Math.max(1, ...numbers);
  const step = numbers.length > 1 ? width / (numbers.length - 1) : 0;
  return numbers.map((value, index) => `${(index * step).toFixed(1)},${(height - (value / highest) * height).toFixed(1)}`).join(' ');
}

