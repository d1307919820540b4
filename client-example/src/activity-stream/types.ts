// What an application sees of a stream: its options, its snapshot, and what it delivers.
import type {
  ActivityAdded,
  ActivityFilter,
  Cursor,
  FeedGap,
  GapHealed,
  ReadState,
  ReadStateChanged,
  TransportAdvice,
} from './operations.ts';

export interface ActivityStreamOptions {
  /** The GraphQL endpoint: `/graphql`, or with a host. */
  endpoint: string;
  /** Whose stream it is: any ID of the signed-in user. Tabs share events, and keep cursors, per viewer. */
  viewer: string;
  /**
   * A bearer token. `renew`: the server refused the last one, or says that it is about to expire. Null: the user is signed
   * out, and everything stops until `tryNow`. A rejected promise: it cannot be had at the moment, and is asked for again.
   * Leave it out where a cookie signs the user in.
   */
  token?: (ask: { renew: boolean }) => string | null | Promise<string | null>;
  filter?: ActivityFilter;
  /** Go on after this cursor, `head` of the feed that is on the screen; wins over the one that was stored. */
  since?: Cursor;
  /**
   * Load the feed anew, show it, and give its `head`: the stream continues there. Called to start, unless there is `since`,
   * and when the server cannot say what was missed (see `FeedReset`). Without it a stored cursor is gone on from, and where
   * there is none only the head is asked for.
   */
  refetchFeed?: () => Promise<Cursor>;
  /** 1 to 64 of letters, digits, `.`, `_`, `~`, `-`: names this device, so that the server keeps its position too. */
  device?: string;
  /** CLIENT: the server counts as delivered what this client acknowledges. Needs `device`. */
  confirm?: 'SOCKET' | 'CLIENT';
  /** False: do not share one stream with the other tabs of this browser. */
  shareTabs?: boolean;
  /** Where the cursor survives a reload; null: nowhere. By default `sessionStorage`, if there is one. */
  storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | null;
  /** Divides every wait; for demonstrations. 1 by default. */
  speed?: number;
  /** In place of the browser's `fetch`. */
  fetchFn?: typeof fetch;
}

/** The transport: `degraded` keeps the stream and polls beside it, `polling` polls and tries the stream now and then. */
export type Mode = 'sse' | 'degraded' | 'polling';

/** What to tell a person. `paused`: the page has been hidden for a minute. */
export type Status = 'connecting' | 'live' | 'degraded' | 'polling' | 'offline' | 'paused' | 'signedOut' | 'closed';

/** Where an event came from; `tab`: from the tab that leads. */
export type Via = 'stream' | 'poll' | 'tab';

/** Why the mode changed. */
export type SwitchReason =
  | 'stream proven'
  | 'no byte heard'
  | 'stream lags'
  | 'stream failed'
  | 'server advice'
  | 'leader changed';

export interface TransportSwitch {
  /** Milliseconds since 1970, this computer's clock. */
  at: number;
  from: Mode;
  to: Mode;
  reason: SwitchReason;
  /** What exactly happened, for developers: `status 503`, `REDIS_DOWN`, … */
  detail: string | null;
  /** What was on the screen then, and what the other transport goes on from. */
  cursor: Cursor | null;
}

export interface Counters {
  /** Activities delivered to the application. */
  received: number;
  /** Events that came again, from another transport or another tab, and were held back. */
  duplicates: number;
  /** Events that did not continue from the cursor on the screen: held back, and fetched in order instead. */
  holes: number;
  /** Gaps that the server announced and that are not made good: the number to watch, 0. */
  gaps: number;
  /** Announced gaps that recovery has made good. */
  recovered: number;
  /** Times the feed had to be loaded anew. */
  resets: number;
  /** Streams opened, pages polled, questions for the server's health. */
  streams: number;
  polls: number;
  healthQueries: number;
  /** Streams that failed; announced ends and expired tokens are none. */
  failures: number;
}

export interface StreamSnapshot {
  status: Status;
  mode: Mode;
  /** Whether this tab holds the stream; the others get their events from it. */
  leader: boolean;
  /** What has been delivered. Null until the first is known. */
  cursor: Cursor | null;
  /** Where the server's log ended when it was last heard of. */
  head: Cursor | null;
  counters: Counters;
  /** The last 50, oldest first. */
  switches: readonly TransportSwitch[];
  /** Milliseconds from publication to here, corrected by the server's clock: the last 120 that came live. */
  latencies: readonly number[];
  /** When anything was last heard from the server (ms since 1970). */
  lastHeardAt: number | null;
  /** While there is no stream: when the next attempt is due (ms since 1970). */
  nextAttemptAt: number | null;
  /** Milliseconds between two polls as it is now, without the jitter. */
  pollEvery: number;
  /** The server's last advice. */
  advice: TransportAdvice | null;
  /** How much is unread, as last heard. */
  readState: ReadState | null;
  /** Gaps announced and not made good, newest last; at most 20. */
  openGaps: readonly FeedGap[];
  /** The last failure, for developers. */
  lastFault: string | null;
}

/** Made here, not by the server: what is on the screen does not continue; the feed was, or has to be, loaded anew. */
export interface FeedReset {
  __typename: 'FeedReset';
  /** Everything after this will be delivered. */
  cursor: Cursor;
  reason: string;
}

export type DeliveredEvent = ActivityAdded | FeedGap | GapHealed | ReadStateChanged | FeedReset;

export interface Change {
  snapshot: StreamSnapshot;
  /** What is new, each once and in the order of the log; often nothing. */
  events: readonly DeliveredEvent[];
  /** Where they came from; null if there are none. */
  via: Via | null;
}

export interface ActivityStream {
  /** Be told of changes, once for all in one turn of the event loop. The first subscriber starts the stream. Returns what ends the subscription. */
  subscribe(listener: (change: Change) => void): () => void;
  /** How things are. The same object until something changes. */
  snapshot(): StreamSnapshot;
  /** Try the stream at once; after `signedOut`, ask for a token again. */
  tryNow(): void;
  /** What an answer to the application's own `markRead` said, so that it is no news when the server tells it. */
  noteReadState(state: ReadState): void;
  /** End everything, for good. The cursor stays stored. */
  close(): void;
}
