// How long things take. Milliseconds throughout; `random` is drawn from [0, 1).

const SECOND = 1_000;

export interface Timing {
  /** To the first byte of a stream: a proxy that buffers never sends one. */
  connect: number;
  /** Without a byte: degraded. Servers send a comment every 15 s at most. */
  stall: number;
  /** And after that: the stream is dead. */
  dead: number;
  /** The server's log may be ahead of the stream for this long. */
  lag: number;
  /** Of polls, questions for health, the token and the feed. */
  answer: number;
  /** Between two tries of the stream while polling; doubles up to `longestRetry`. */
  retry: number;
  longestRetry: number;
  /** The server's health is asked for when its advice is older than this. */
  health: number;
  /** Between polls, while the server has not said how often. */
  poll: number;
  longestPoll: number;
  /** A hidden page keeps its stream for this long. */
  hide: number;
  /** A stream that was silent for this long when the page comes back is replaced: iOS kills sockets without a word. */
  suspect: number;
  /** How long a stream has to be good before it is trusted again; doubles with each demotion within `memory`. */
  proof: number;
  longestProof: number;
  memory: number;
  /** A tab that hears nothing from the leader looks for itself. */
  silence: number;
  /** `confirm: CLIENT`: deliveries are acknowledged this often. */
  acknowledge: number;
}

export const DEFAULT_TIMING: Timing = {
  connect: 10 * SECOND,
  stall: 30 * SECOND,
  dead: 30 * SECOND,
  lag: 10 * SECOND,
  answer: 10 * SECOND,
  retry: 60 * SECOND,
  longestRetry: 120 * SECOND,
  health: 30 * SECOND,
  poll: 5 * SECOND,
  longestPoll: 60 * SECOND,
  hide: 60 * SECOND,
  suspect: 15 * SECOND,
  proof: 5 * SECOND,
  longestProof: 60 * SECOND,
  memory: 600 * SECOND,
  silence: 45 * SECOND,
  acknowledge: 5 * SECOND,
};

/** Stream failures in a row before polling. */
export const MOST_FAILURES = 3;
/** Refusals of a token, each with a new one in between, before the user counts as signed out. */
export const MOST_REFUSALS = 3;

/** Before the stream is opened again: full jitter, so that clients cut together do not come back together. */
export function reconnectDelay(tries: number, random: number): number {
  return 250 + random * Math.min(30 * SECOND, SECOND * 2 ** Math.min(tries, 5));
}

/** Before the stream is tried again while polling. */
export function retryDelay(timing: Timing, probes: number, random: number): number {
  return around(Math.min(timing.longestRetry, timing.retry * 2 ** Math.min(probes, 8)), 0.2, random);
}

/** Before something that failed is asked again. */
export function backOff(first: number, failures: number, longest: number, random: number): number {
  return around(Math.min(longest, first * 2 ** Math.min(failures, 10)), 0.2, random);
}

/** `value`, give or take `share` of it. */
export function around(value: number, share: number, random: number): number {
  return value * (1 - share + 2 * share * random);
}
