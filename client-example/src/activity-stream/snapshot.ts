import type { StreamSnapshot } from './types.ts';

/** Before anything has happened. */
export const EMPTY: StreamSnapshot = {
  status: 'connecting',
  mode: 'sse',
  leader: false,
  cursor: null,
  head: null,
  counters: {
    received: 0,
    duplicates: 0,
    holes: 0,
    gaps: 0,
    recovered: 0,
    resets: 0,
    streams: 0,
    polls: 0,
    healthQueries: 0,
    failures: 0,
  },
  switches: [],
  latencies: [],
  lastHeardAt: null,
  nextAttemptAt: null,
  pollEvery: 5_000,
  advice: null,
  readState: null,
  openGaps: [],
  lastFault: null,
};
