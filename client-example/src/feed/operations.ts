// What the page asks beside the stream. operations.test.ts holds it against the server's schema.
import type { Activity, ActivityFilter, ActivityType, Cursor, Operation, ReadState } from '../activity-stream/index.ts';

/** `id` is of viewer and activity; null for one that came by the stream. */
export interface FeedEdge {
  id: string | null;
  isRead: boolean;
  node: Activity;
}

export interface FeedPage {
  head: Cursor;
  unreadCount: number;
  edges: FeedEdge[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

export const FEED: Operation<{ feed: FeedPage }, { first: number; after: string | null; filter: ActivityFilter | null }> = {
  query: /* GraphQL */ `
  query FeedPage($first: Int! = 20, $after: String, $filter: ActivityFilter) {
    feed(first: $first, after: $after, filter: $filter) {
      head
      unreadCount
      edges {
        id
        isRead
        node { id type title summary url occurredAt mp { id name party } bill { id number title } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }`,
};

export const UNREAD: Operation<{ feed: { unreadCount: number } }, { filter: ActivityFilter | null }> = {
  query: /* GraphQL */ `
  query Unread($filter: ActivityFilter) {
    feed(first: 1, filter: $filter) { unreadCount }
  }`,
};

export const MARK_READ: Operation<{ markRead: { readState: ReadState } }, { ids: string[] }> = {
  query: /* GraphQL */ `
  mutation MarkRead($ids: [ID!]!) {
    markRead(activityIds: $ids) { readState { unreadCount version } }
  }`,
};

export const MARK_ALL_READ: Operation<{ markAllRead: { readState: ReadState } }, { through: Cursor }> = {
  query: /* GraphQL */ `
  mutation MarkAllRead($through: Cursor!) {
    markAllRead(through: $through) { readState { unreadCount version } }
  }`,
};

export const PUBLISH: Operation<
  { publishActivity: { __typename: 'PublishedActivity' } | { __typename: 'ActivityRefused'; message: string } },
  { type: ActivityType; title: string }
> = {
  query: /* GraphQL */ `
  mutation Publish($type: ActivityType!, $title: String!) {
    publishActivity(input: { type: $type, title: $title }) { __typename ... on ActivityRefused { message } }
  }`,
};
