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

export type FeedPageQueryVariables = Exact<{
  first?: number;
  after?: string | null;
  filter?: ActivityFilter | null;
}>;


export type FeedPageQuery = { feed: { head: string, unreadCount: number, edges: Array<{ id: string, isRead: boolean, node: { id: string, type: ActivityType, title: string, summary: string | null, url: string | null, occurredAt: string, mp: { id: string, name: string, party: string | null } | null, bill: { id: string, number: string, title: string } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type UnreadQueryVariables = Exact<{
  filter?: ActivityFilter | null;
}>;


export type UnreadQuery = { feed: { unreadCount: number } };

export type MarkReadMutationVariables = Exact<{
  ids: Array<string>;
}>;


export type MarkReadMutation = { markRead: { readState: { unreadCount: number, version: number } } };

export type MarkAllReadMutationVariables = Exact<{
  through: string;
}>;


export type MarkAllReadMutation = { markAllRead: { readState: { unreadCount: number, version: number } } };

export type PublishMutationVariables = Exact<{
  type: ActivityType;
  title: string;
}>;


export type PublishMutation = { publishActivity:
    | { __typename: 'PublishedActivity' }
    | { __typename: 'ActivityRefused', message: string }
   };
