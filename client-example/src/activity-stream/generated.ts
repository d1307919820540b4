// Made by `npm run codegen` from the printed schema and operations.ts: change those.
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** Which activities: of one of the types, by one of the MPs, on one of the bills. */
export type ActivityFilter = {
  types?: Array<ActivityType> | null;
  mpIds?: Array<string> | null;
  billIds?: Array<string> | null;
};

/** What kind of thing was done. */
export type ActivityType =
  | 'SPEECH'
  | 'QUESTION'
  | 'ANSWER'
  | 'VOTE'
  | 'BILL_INTRODUCED'
  | 'BILL_PROGRESS'
  | 'COMMITTEE'
  | 'PETITION'
  | 'STATEMENT'
  | 'PROCEDURE'
  | 'OTHER';

/** When an activity counts as delivered: SOCKET, when the peer's kernel has its bytes (behind a proxy that is the proxy's); CLIENT, when the client acknowledges it. */
export type Confirmation =
  | 'SOCKET'
  | 'CLIENT';

/** Why activities are missing from a stream. */
export type GapReason =
  | 'CURSOR_UNKNOWN'
  | 'CURSOR_AHEAD'
  | 'REPLAY_CAPPED'
  | 'POSITION_LOST'
  | 'TRIMMED'
  | 'DEAD_LETTERED';

/** What a client does about a gap. */
export type GapRecovery =
  | 'FETCH_UPDATES'
  | 'REFETCH_FEED'
  | 'WAIT_FOR_HEAL'
  | 'NONE';

/** What a notice is about. */
export type NoticeKind =
  | 'HELLO'
  | 'BOOKMARK'
  | 'ADVICE'
  | 'REAUTHENTICATE'
  | 'CLOSING';

/** How a client should get its updates. */
export type Transport =
  | 'SSE'
  | 'DEGRADED'
  | 'POLLING';

export type ActivityAddedSubscriptionVariables = Exact<{
  since?: string | null;
  filter?: ActivityFilter | null;
  subscriber?: string | null;
  confirm?: Confirmation;
}>;


export type ActivityAddedSubscription = { activityAdded:
    | StreamEvent_ActivityAdded_Fragment
    | StreamEvent_FeedGap_Fragment
    | StreamEvent_GapHealed_Fragment
    | StreamEvent_ReadStateChanged_Fragment
    | StreamEvent_StreamNotice_Fragment
   };

type StreamEvent_ActivityAdded_Fragment = { __typename: 'ActivityAdded', publishedAt: string, deliveryAttempt: number, cursor: string, activity: StreamActivityFragment };

type StreamEvent_FeedGap_Fragment = { __typename: 'FeedGap', since: string, through: string, missing: number | null, reason: GapReason, recovery: GapRecovery, cursor: string };

type StreamEvent_GapHealed_Fragment = { __typename: 'GapHealed', since: string, through: string, cursor: string, activities: Array<StreamActivityFragment> };

type StreamEvent_ReadStateChanged_Fragment = { __typename: 'ReadStateChanged', activityIds: Array<string>, cursor: string, readState: { unreadCount: number, version: number } };

type StreamEvent_StreamNotice_Fragment = { __typename: 'StreamNotice', kind: NoticeKind, head: string, at: string, retryAfterSeconds: number | null, reauthenticateBy: string | null, cursor: string, ownState: { unreadCount: number, version: number } | null, transport: StreamAdviceFragment };

export type StreamEventFragment =
  | StreamEvent_ActivityAdded_Fragment
  | StreamEvent_FeedGap_Fragment
  | StreamEvent_GapHealed_Fragment
  | StreamEvent_ReadStateChanged_Fragment
  | StreamEvent_StreamNotice_Fragment
;

export type StreamActivityFragment = { id: string, type: ActivityType, title: string, summary: string | null, url: string | null, occurredAt: string, mp: { id: string, name: string, party: string | null } | null, bill: { id: string, number: string, title: string } | null };

export type StreamAdviceFragment = { mode: Transport, reason: string | null, pollIntervalSeconds: number, jitterSeconds: number, retryAfterSeconds: number };

export type UpdatesQueryVariables = Exact<{
  since: string;
  first?: number;
  filter?: ActivityFilter | null;
}>;


export type UpdatesQuery = { updates: { cursor: string, head: string, hasMore: boolean, events: Array<
      | StreamEvent_ActivityAdded_Fragment
      | StreamEvent_FeedGap_Fragment
      | StreamEvent_GapHealed_Fragment
      | StreamEvent_ReadStateChanged_Fragment
      | StreamEvent_StreamNotice_Fragment
    >, readState: { unreadCount: number, version: number }, transport: StreamAdviceFragment } };

export type HealthQueryVariables = Exact<{ [key: string]: never; }>;


export type HealthQuery = { health: { transport: { mode: Transport, reason: string | null, pollIntervalSeconds: number, jitterSeconds: number, retryAfterSeconds: number } } };

export type HeadQueryVariables = Exact<{ [key: string]: never; }>;


export type HeadQuery = { feed: { head: string } };

export type AcknowledgeMutationVariables = Exact<{
  through: string;
  subscriber: string;
}>;


export type AcknowledgeMutation = { acknowledge:
    | { __typename: 'Acknowledged' }
    | { __typename: 'AcknowledgeRefused', message: string }
   };
