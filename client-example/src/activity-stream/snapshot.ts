// The state, as an application sees it.
import type { LeaderStatus } from './messages.ts';
import { initialState, pollInterval, type State } from './state.ts';
import { DEFAULT_TIMING } from './timing.ts';
import type { Status, StreamSnapshot } from './types.ts';

/** Before anything has happened. */
export const EMPTY: StreamSnapshot = snapshotOf(initialState(DEFAULT_TIMING, { confirms: false, needsToken: false }));

export function snapshotOf(state: State): StreamSnapshot {
  const { following } = state;
  return {
    status: statusOf(state),
    mode: state.mode,
    leader: state.leader,
    cursor: state.cursor,
    head: state.head,
    counters: state.counters,
    switches: state.switches,
    latencies: state.latencies,
    lastHeardAt: state.heardAt,
    nextAttemptAt: state.leader ? state.openAt : (following?.nextAttemptAt ?? null),
    pollEvery: pollInterval(state),
    advice: state.advice,
    readState: state.readState,
    openGaps: state.openGaps,
    lastFault: state.lastFault,
  };
}

export function statusOf(state: State): Status {
  if (state.closed) return 'closed';
  if (state.signedOut) return 'signedOut';
  if (!state.online) return 'offline';
  if (state.paused) return 'paused';
  if (!state.leader) return state.following?.status ?? 'connecting';
  if (state.mode !== 'sse') return state.mode;
  return state.stream?.goodSince != null ? 'live' : 'connecting';
}

/** What the tab that leads tells the others. */
export function leaderStatus(state: State): LeaderStatus {
  const last = state.switches.at(-1);
  return {
    status: statusOf(state),
    mode: state.mode,
    reason: last?.reason ?? 'leader changed',
    detail: last?.detail ?? null,
    nextAttemptAt: state.openAt,
    advice: state.advice,
    head: state.head,
    readState: state.readState,
  };
}
