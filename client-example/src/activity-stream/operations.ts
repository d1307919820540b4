// The documents that are sent; generated.ts has the types of what they are answered with, made of them and of the server's
// schema (`npm run codegen`). Every stream should send this very text: equal operations are executed once for all of them.
import type {
  AcknowledgeMutation, AcknowledgeMutationVariables, ActivityAddedSubscription, ActivityAddedSubscriptionVariables, HeadQuery,
  HeadQueryVariables, HealthQuery, HealthQueryVariables, UpdatesQuery, UpdatesQueryVariables,
} from './generated.ts';

export type {
  ActivityFilter, ActivityType, Confirmation, GapReason, GapRecovery, NoticeKind, Transport,
} from './generated.ts';

/** A place in the log, `<milliseconds>-<sequence>`: compare two of them with `compareCursors`, store them as they are. */
export type Cursor = string;
/** ISO 8601, UTC. */
export type DateTime = string;

/** Everything that a stream or a poll can bring. A server may send types that are not known here. */
export type ServerEvent = ActivityAddedSubscription['activityAdded'];
type Event<Name extends ServerEvent['__typename']> = Extract<ServerEvent, { __typename: Name }>;

/** `deliveryAttempt` is 1 the first time. */
export type ActivityAdded = Event<'ActivityAdded'>;
/** Activities after `since` up to `through` that were not shown. `missing` is null if they cannot be counted. */
export type FeedGap = Event<'FeedGap'>;
/** What a gap announced as missing: merge it by the activities' IDs. */
export type GapHealed = Event<'GapHealed'>;
/** These activities are read now; with no IDs, fetch the feed again. */
export type ReadStateChanged = Event<'ReadStateChanged'>;
/**
 * What the server says about the stream itself; `activity-stream` acts on it and does not hand it on. `ownState` is the schema's
 * `readState`, null in most notices: under its own name it conflicts with that of ReadStateChanged.
 */
export type StreamNotice = Event<'StreamNotice'>;

export type Activity = ActivityAdded['activity'];
/** Of two, the one with the higher `version` is newer. */
export type ReadState = ReadStateChanged['readState'];
export type TransportAdvice = StreamNotice['transport'];
export type FeedUpdates = UpdatesQuery['updates'];

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

export const ACTIVITY_ADDED: Operation<ActivityAddedSubscription, ActivityAddedSubscriptionVariables> = {
  query: /* GraphQL */ `
  subscription ActivityAdded($since: Cursor, $filter: ActivityFilter, $subscriber: ID, $confirm: Confirmation! = SOCKET) {
    activityAdded(since: $since, filter: $filter, subscriber: $subscriber, confirm: $confirm) { ...StreamEvent }
  }${EVENT}`,
};

export const UPDATES: Operation<UpdatesQuery, UpdatesQueryVariables> = {
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

export const HEALTH: Operation<HealthQuery, HealthQueryVariables> = {
  query: /* GraphQL */ `
  query Health {
    health { transport { mode reason pollIntervalSeconds jitterSeconds retryAfterSeconds } }
  }`,
};

/** Where the log ends: what a client without a cursor starts from. */
export const HEAD: Operation<HeadQuery, HeadQueryVariables> = {
  query: /* GraphQL */ `
  query Head {
    feed(first: 1) { head }
  }`,
};

/** For `confirm: CLIENT`: everything up to a cursor has arrived. */
export const ACKNOWLEDGE: Operation<AcknowledgeMutation, AcknowledgeMutationVariables> = {
  query: /* GraphQL */ `
  mutation Acknowledge($through: Cursor!, $subscriber: ID!) {
    acknowledge(through: $through, subscriber: $subscriber) { __typename ... on AcknowledgeRefused { message } }
  }`,
};
