// The documents that are sent, and the types of what they are answered with. operations.test.ts holds both against the
// server's schema, so that no generator is needed to copy or to change them. Every stream should send this very text: equal operations are executed once for all of them.

/** A place in the log, `<milliseconds>-<sequence>`: compare two of them with `compareCursors`, store them as they are. */
export type Cursor = string;
/** ISO 8601, UTC. */
export type DateTime = string;

export type Transport = 'SSE' | 'DEGRADED' | 'POLLING';
export type NoticeKind = 'HELLO' | 'BOOKMARK' | 'ADVICE' | 'REAUTHENTICATE' | 'CLOSING';
export type GapReason = 'CURSOR_UNKNOWN' | 'CURSOR_AHEAD' | 'REPLAY_CAPPED' | 'POSITION_LOST' | 'TRIMMED' | 'DEAD_LETTERED';
export type GapRecovery = 'FETCH_UPDATES' | 'REFETCH_FEED' | 'WAIT_FOR_HEAL' | 'NONE';
export type Confirmation = 'SOCKET' | 'CLIENT';
export type ActivityType =
  | 'SPEECH' | 'QUESTION' | 'ANSWER' | 'VOTE' | 'BILL_INTRODUCED' | 'BILL_PROGRESS'
  | 'COMMITTEE' | 'PETITION' | 'STATEMENT' | 'PROCEDURE' | 'OTHER';

export interface ActivityFilter {
  types?: ActivityType[] | null;
  mpIds?: string[] | null;
  billIds?: string[] | null;
}

export interface Activity {
  id: string;
  type: ActivityType;
  title: string;
  summary: string | null;
  url: string | null;
  occurredAt: DateTime;
  mp: { id: string; name: string; party: string | null } | null;
  bill: { id: string; number: string; title: string } | null;
}

export interface ReadState {
  unreadCount: number;
  /** A higher one is newer. */
  version: number;
}

export interface TransportAdvice {
  mode: Transport;
  reason: string | null;
  pollIntervalSeconds: number;
  jitterSeconds: number;
  retryAfterSeconds: number;
}

export interface ActivityAdded {
  __typename: 'ActivityAdded';
  cursor: Cursor;
  publishedAt: DateTime;
  /** 1 the first time. */
  deliveryAttempt: number;
  activity: Activity;
}

/** Activities after `since` up to `through` that were not shown. `missing` is null if they cannot be counted. */
export interface FeedGap {
  __typename: 'FeedGap';
  cursor: Cursor;
  since: Cursor;
  through: Cursor;
  missing: number | null;
  reason: GapReason;
  recovery: GapRecovery;
}

/** What a gap announced as missing: merge it by the activities' IDs. */
export interface GapHealed {
  __typename: 'GapHealed';
  cursor: Cursor;
  since: Cursor;
  through: Cursor;
  activities: Activity[];
}

/** These activities are read now; with no IDs, fetch the feed again. */
export interface ReadStateChanged {
  __typename: 'ReadStateChanged';
  cursor: Cursor;
  activityIds: string[];
  readState: ReadState;
}

/** What the server says about the stream itself; `activity-stream` acts on it and does not hand it on. */
export interface StreamNotice {
  __typename: 'StreamNotice';
  cursor: Cursor;
  kind: NoticeKind;
  head: Cursor;
  at: DateTime;
  /** The schema's `readState`, null in most notices: under its own name it conflicts with that of ReadStateChanged. */
  ownState: ReadState | null;
  transport: TransportAdvice;
  retryAfterSeconds: number | null;
  reauthenticateBy: DateTime | null;
}

/** Everything that a stream or a poll can bring. A server may send types that are not known here. */
export type ServerEvent = ActivityAdded | FeedGap | GapHealed | ReadStateChanged | StreamNotice;

export interface FeedUpdates {
  cursor: Cursor;
  head: Cursor;
  hasMore: boolean;
  events: ServerEvent[];
  readState: ReadState;
  transport: TransportAdvice;
}

/** A document with the types of its variables and of its `data`. */
export interface Operation<Data, Variables> {
  readonly query: string;
  /** Never set; it carries the types. */
  readonly types?: (variables: Variables) => Data;
}

const EVENT = /* GraphQL */ `
  fragment StreamEvent on FeedEvent {
    __typename
    cursor
    ... on ActivityAdded {
      publishedAt
      deliveryAttempt
      activity { ...StreamActivity }
    }
    ... on FeedGap { since through missing reason recovery }
    ... on GapHealed { since through activities { ...StreamActivity } }
    ... on ReadStateChanged { activityIds readState { unreadCount version } }
    ... on StreamNotice {
      kind
      head
      at
      retryAfterSeconds
      reauthenticateBy
      ownState: readState { unreadCount version }
      transport { ...StreamAdvice }
    }
  }
  fragment StreamActivity on Activity {
    id
    type
    title
    summary
    url
    occurredAt
    mp { id name party }
    bill { id number title }
  }
  fragment StreamAdvice on TransportAdvice {
    mode
    reason
    pollIntervalSeconds
    jitterSeconds
    retryAfterSeconds
  }
`;

export const ACTIVITY_ADDED: Operation<
  { activityAdded: ServerEvent },
  { since: Cursor; filter: ActivityFilter | null; subscriber: string | null; confirm: Confirmation }
> = {
  query: /* GraphQL */ `
  subscription ActivityAdded($since: Cursor, $filter: ActivityFilter, $subscriber: ID, $confirm: Confirmation! = SOCKET) {
    activityAdded(since: $since, filter: $filter, subscriber: $subscriber, confirm: $confirm) { ...StreamEvent }
  }${EVENT}`,
};

export const UPDATES: Operation<
  { updates: FeedUpdates },
  { since: Cursor; first: number; filter: ActivityFilter | null }
> = {
  query: /* GraphQL */ `
  query Updates($since: Cursor!, $first: Int! = 50, $filter: ActivityFilter) {
    updates(since: $since, first: $first, filter: $filter) {
      cursor
      head
      hasMore
      events { ...StreamEvent }
      readState { unreadCount version }
      transport { ...StreamAdvice }
    }
  }${EVENT}`,
};

export const HEALTH: Operation<{ health: { transport: TransportAdvice } }, Record<string, never>> = {
  query: /* GraphQL */ `
  query Health {
    health { transport { mode reason pollIntervalSeconds jitterSeconds retryAfterSeconds } }
  }`,
};

/** Where the log ends: what a client without a cursor starts from. */
export const HEAD: Operation<{ feed: { head: Cursor } }, Record<string, never>> = {
  query: /* GraphQL */ `
  query Head {
    feed(first: 1) { head }
  }`,
};

/** For `confirm: CLIENT`: everything up to a cursor has arrived. */
export const ACKNOWLEDGE: Operation<
  { acknowledge: { __typename: 'Acknowledged' } | { __typename: 'AcknowledgeRefused'; message: string } },
  { through: Cursor; subscriber: string }
> = {
  query: /* GraphQL */ `
  mutation Acknowledge($through: Cursor!, $subscriber: ID!) {
    acknowledge(through: $through, subscriber: $subscriber) { __typename ... on AcknowledgeRefused { message } }
  }`,
};
