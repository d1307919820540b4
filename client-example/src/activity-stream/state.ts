// What the controller knows.
import type { Batch, Stretch } from './gate.ts';
import type { LeaderStatus } from './messages.ts';
import type { Cursor, FeedGap, ReadState, TransportAdvice } from './operations.ts';
import type { Timing } from './timing.ts';
import type { Counters, Mode, TransportSwitch } from './types.ts';

/** A stream that was asked for. */
export interface Connection {
  id: number;
  /** How far it has come; at first the cursor it was opened with. */
  through: Cursor;
  startedAt: number;
  /** Its first byte; null while connecting. */
  openedAt: number | null;
  byteAt: number;
  /** Since when there is nothing to say against it, counted from a frame; null: not at the moment. */
  goodSince: number | null;
  /** Since when the server's log is ahead of it. */
  behindSince: number | null;
}

/** A question that is under way. */
export interface Call {
  id: number;
  startedAt: number;
}

export interface State {
  readonly timing: Timing;
  /** `confirm: CLIENT`. */
  readonly confirms: boolean;

  started: boolean;
  closed: boolean;
  leader: boolean;
  online: boolean;
  hiddenSince: number | null;
  /** Hidden for too long: nothing is open. */
  paused: boolean;
  signedOut: boolean;

  /** Everything up to here was delivered; null: not known, or not valid any more. */
  cursor: Cursor | null;
  head: Cursor | null;
  /** Batches beyond a hole, waiting for the poll that closes it. */
  held: readonly Batch[];

  mode: Mode;
  /** Polling because the server said so, not because streams fail. */
  onAdvice: boolean;
  stream: Connection | null;
  /** With a new token, until its first frame; then it takes the place of `stream`. */
  successor: Connection | null;
  /** When to open a stream. */
  openAt: number | null;
  /** Failures in a row; attempts since a stream was proven; attempts while polling. */
  failures: number;
  tries: number;
  probes: number;
  demotions: readonly number[];
  /** When the server, or the leading tab, was last heard. */
  heardAt: number | null;

  poll: (Call & { since: Cursor }) | null;
  pollAt: number | null;
  pollFailures: number;
  /** A hole is to be closed: poll until it is, whatever the mode. */
  repair: boolean;
  health: Call | null;
  healthAt: number | null;

  /** Finding a cursor to start from. */
  locate: Call | null;
  locateAt: number | null;
  locateFailures: number;
  /** Why the old cursor is of no use; null before the first one. */
  resetReason: string | null;
  /** In a row. */
  resets: number;

  renewal: Call | null;
  renewAt: number | null;
  renewFailures: number;
  /** The token was refused: no request makes sense before there is a new one. */
  blocked: boolean;
  refusals: number;

  acknowledgeAt: number | null;

  advice: TransportAdvice | null;
  readState: ReadState | null;
  /** Server's clock minus ours. */
  clockOffset: number | null;

  nextId: number;
  counters: Counters;
  switches: readonly TransportSwitch[];
  latencies: readonly number[];
  openGaps: readonly FeedGap[];
  /** The last 100 that were made good: a gap among them that is told late is none. */
  healed: readonly Stretch[];
  lastFault: string | null;
  /** What the leading tab says of itself. */
  following: LeaderStatus | null;
}

/** `needsToken`: nothing can be asked before there is one. */
export function initialState(timing: Timing, options: { confirms: boolean; needsToken: boolean }): State {
  return {
    timing,
    confirms: options.confirms,
    started: false,
    closed: false,
    leader: false,
    online: true,
    hiddenSince: null,
    paused: false,
    signedOut: false,
    cursor: null,
    head: null,
    held: [],
    mode: 'sse',
    onAdvice: false,
    stream: null,
    successor: null,
    openAt: null,
    failures: 0,
    tries: 0,
    probes: 0,
    demotions: [],
    heardAt: null,
    poll: null,
    pollAt: null,
    pollFailures: 0,
    repair: false,
    health: null,
    healthAt: null,
    locate: null,
    locateAt: null,
    locateFailures: 0,
    resetReason: null,
    resets: 0,
    renewal: null,
    renewAt: null,
    renewFailures: 0,
    blocked: options.needsToken,
    refusals: 0,
    acknowledgeAt: null,
    advice: null,
    readState: null,
    clockOffset: null,
    nextId: 1,
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
    openGaps: [],
    healed: [],
    lastFault: null,
    following: null,
  };
}

/** Whether this tab may send anything at all. */
export function isAwake(state: State): boolean {
  return state.started && !state.closed && state.online && !state.paused && !state.signedOut;
}

/** Whether it keeps the stream, for itself and the other tabs. */
export function isRunning(state: State): boolean {
  return isAwake(state) && state.leader;
}

/** Whether it polls: beside or in place of the stream, or to close a hole. */
export function needsPolls(state: State): boolean {
  return state.repair || (state.leader && state.mode !== 'sse');
}

/** Milliseconds between two polls, without the jitter. */
export function pollInterval(state: State): number {
  return state.advice === null ? state.timing.poll : Math.max(1_000, state.advice.pollIntervalSeconds * 1_000) / speedOf(state);
}

/** What the waits that the server names are divided by, as all others were. */
export function speedOf(state: State): number {
  return 5_000 / state.timing.poll;
}
