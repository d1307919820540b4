// What the page asks beside the stream; generated.ts has the types, made of it and of the server's schema (`npm run codegen`).
import type { Operation } from '../activity-stream/index.ts';
import type {
  FeedPageQuery, FeedPageQueryVariables, MarkAllReadMutation, MarkAllReadMutationVariables, MarkReadMutation,
  MarkReadMutationVariables, PublishMutation, PublishMutationVariables, UnreadQuery, UnreadQueryVariables,
} from './generated.ts';

type Page = FeedPageQuery['feed'];

/** `id` is of viewer and activity; null for one that came by the stream. */
export type FeedEdge = Omit<Page['edges'][number], 'id'> & { id: string | null };
export type FeedPage = Omit<Page, 'edges'> & { edges: FeedEdge[] };

export const FEED: Operation<{ feed: FeedPage }, FeedPageQueryVariables> = {
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

export const UNREAD: Operation<UnreadQuery, UnreadQueryVariables> = {
  query: /* GraphQL */ `
  query Unread($filter: ActivityFilter) {
    feed(first: 1, filter: $filter) { unreadCount }
  }`,
};

export const MARK_READ: Operation<MarkReadMutation, MarkReadMutationVariables> = {
  query: /* GraphQL */ `
  mutation MarkRead($ids: [ID!]!) {
    markRead(activityIds: $ids) { readState { unreadCount version } }
  }`,
};

export const MARK_ALL_READ: Operation<MarkAllReadMutation, MarkAllReadMutationVariables> = {
  query: /* GraphQL */ `
  mutation MarkAllRead($through: Cursor!) {
    markAllRead(through: $through) { readState { unreadCount version } }
  }`,
};

export const PUBLISH: Operation<PublishMutation, PublishMutationVariables> = {
  query: /* GraphQL */ `
  mutation Publish($type: ActivityType!, $title: String!) {
    publishActivity(input: { type: $type, title: $title }) { __typename ... on ActivityRefused { message } }
  }`,
};
