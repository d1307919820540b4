// The feed on the screen: pages of the past by TanStack Query, and what happens by the stream, merged into its cache.
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';
import { request } from '../api.ts';
import type { Activity, ActivityFilter, Change, Cursor, StreamSnapshot } from '../activity-stream/index.ts';
import { useActivityStream } from '../activity-stream/react/useActivityStream.ts';
import type { Session } from '../session.ts';
import { arrived, edgesOf, MOST_KEPT, withArrived, withRead } from './merging.ts';
import { FEED, UNREAD, type FeedEdge, type FeedPage } from './operations.ts';
import { useBatches } from './rhythm.ts';
import { PAGE, useFeedCache, type FeedCache } from './useFeedCache.ts';
import { useMarks } from './useMarks.ts';

/** Events are shown this often at most: a flood of 500 would otherwise draw the page 500 times. */
const SHOW_EVERY = 100;

export interface Feed {
  edges: FeedEdge[];
  /** Came while the reader was not at the top: shown when asked for. */
  waiting: number;
  showWaiting: () => void;
  unread: number | null;
  loading: boolean;
  error: Error | null;
  retry: () => void;
  loadOlder: (() => void) | null;
  loadingOlder: boolean;
  markRead: (ids: string[]) => void;
  markAllRead: () => void;
  snapshot: StreamSnapshot;
  tryNow: () => void;
}

/** `atTop`: whether what arrives may be shown at once, because nobody is reading further down. */
export function useFeed(session: Session, filter: ActivityFilter | null, speed: number, atTop: () => boolean): Feed {
  const cache = useFeedCache(session, filter);
  const { pages, count } = useQueries(session, filter, cache);
  const head = pages.data?.pages[0]?.head ?? null;
  const { waiting, take, show, shown } = useArrivals(cache, head, atTop);
  const { snapshot, tryNow, noteReadState } = useActivityStream(
    head === null ? null : {
      endpoint: session.endpoint, viewer: session.viewer, token: session.token, since: head, refetchFeed: cache.restart, speed,
      ...(filter && { filter }),
    },
    (change) => {
      if (change.events.length > 0) take(change);
    },
  );
  const marks = useMarks(session, cache, noteReadState);
  const edges = useMemo(() => edgesOf(pages.data), [pages.data]);
  return {
    edges,
    waiting,
    showWaiting: show,
    unread: count.data ?? null,
    loading: pages.isPending,
    error: pages.error,
    retry: () => void pages.refetch(),
    loadOlder: pages.hasNextPage ? () => void pages.fetchNextPage() : null,
    loadingOlder: pages.isFetchingNextPage,
    markRead: marks.some,
    // With a filter only what it shows: the log's cursor would mark everything else, too.
    markAllRead: () => {
      if (filter) marks.some(edges.filter((edge) => !edge.isRead).map((edge) => edge.node.id));
      else if (shown.current) marks.through(shown.current);
    },
    snapshot,
    tryNow,
  };
}

function useQueries(session: Session, filter: ActivityFilter | null, { feedKey, countKey }: FeedCache) {
  const pages = useInfiniteQuery({
    queryKey: feedKey,
    queryFn: async ({ pageParam, signal }): Promise<FeedPage> =>
      (await request(session, FEED, { first: PAGE, after: pageParam, filter }, signal)).feed,
    initialPageParam: null as string | null,
    getNextPageParam: ({ pageInfo }) => (pageInfo.hasNextPage ? pageInfo.endCursor : null),
  });
  const count = useQuery({
    queryKey: countKey,
    queryFn: async ({ signal }) => (await request(session, UNREAD, { filter }, signal)).feed.unreadCount,
    placeholderData: keepPreviousData,
  });
  return { pages, count };
}

/** What the stream brings: shown at once, or kept until it is asked for. `shown`: the cursor of what is on the screen. */
function useArrivals(cache: FeedCache, head: Cursor | null, atTop: () => boolean) {
  const [waiting, setWaiting] = useState<readonly Activity[]>([]);
  const shown = useRef<Cursor | null>(null);
  const reached = useRef<Cursor | null>(null);
  useEffect(() => {
    shown.current = reached.current = head;
    setWaiting([]);
  }, [head, cache]);

  const take = useBatches((changes: Change[]) => {
    const events = changes.flatMap((change) => change.events);
    for (const event of events) {
      if (event.__typename !== 'ReadStateChanged') continue;
      cache.change((data) => withRead(data, event.activityIds.length > 0 ? event.activityIds : null));
    }
    cache.recount();
    reached.current = changes.at(-1)?.snapshot.cursor ?? reached.current;
    const activities = arrived(events);
    if (activities.length > 0 && (waiting.length > 0 || !atTop())) {
      setWaiting((before) => [...activities, ...before].slice(0, MOST_KEPT));
      return;
    }
    cache.change((data) => withArrived(data, activities));
    if (waiting.length === 0) shown.current = reached.current;
  }, SHOW_EVERY, cache);

  function show() {
    cache.change((data) => withArrived(data, waiting));
    shown.current = reached.current;
    setWaiting([]);
  }
  return { waiting: waiting.length, take, show, shown };
}
