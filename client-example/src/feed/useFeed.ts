// The feed on the screen: pages of the past by TanStack Query, and what happens by the stream, merged into its cache.
import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { request } from '../api.ts';
import type { Activity, ActivityFilter, Change, Cursor, StreamSnapshot } from '../activity-stream/index.ts';
import { useActivityStream } from '../activity-stream/react/useActivityStream.ts';
import type { Session } from '../session.ts';
import { arrived, edgesOf, withArrived, withRead, type FeedData } from './merging.ts';
import { FEED, MARK_ALL_READ, MARK_READ, UNREAD, type FeedEdge, type FeedPage } from './operations.ts';

const PAGE = 20;
/** Events are shown this often at most: a flood of 500 would otherwise draw the page 500 times. */
const SHOW_EVERY = 100;
/** The exact number of unread activities is asked for this long after the last change. */
const COUNT_AFTER = 1_500;

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
  const client = useQueryClient();
  const key = useMemo(() => ['feed', session.viewer, filter], [session, filter]);
  const countKey = useMemo(() => ['unread', session.viewer, filter], [session, filter]);
  const [waiting, setWaiting] = useState<readonly Activity[]>([]);
  const shown = useRef<Cursor | null>(null);

  const feed = useInfiniteQuery({
    queryKey: key,
    queryFn: async ({ pageParam, signal }): Promise<FeedPage> =>
      (await request(session, FEED, { first: PAGE, after: pageParam, filter }, signal)).feed,
    initialPageParam: null as string | null,
    getNextPageParam: ({ pageInfo }) => (pageInfo.hasNextPage ? pageInfo.endCursor : null),
  });
  const head = feed.data?.pages[0]?.head ?? null;
  const count = useQuery({
    queryKey: countKey,
    queryFn: async ({ signal }) => (await request(session, UNREAD, { filter }, signal)).feed.unreadCount,
    placeholderData: keepPreviousData,
  });
  const change = useCallback((how: (data: FeedData) => FeedData) => {
    client.setQueryData<FeedData>(key, (data) => data && how(data));
  }, [client, key]);
  const refetchFeed = useCallback(async () => {
    const first = (await request(session, FEED, { first: PAGE, after: null, filter })).feed;
    client.setQueryData<FeedData>(key, { pages: [first], pageParams: [null] });
    setWaiting([]);
    return first.head;
  }, [client, session, filter, key]);
  const recount = useSettled(() => void client.invalidateQueries({ queryKey: countKey }), COUNT_AFTER);

  const take = useBatches((changes: Change[]) => {
    const events = changes.flatMap((one) => one.events);
    const activities = arrived(events);
    for (const event of events) {
      if (event.__typename !== 'ReadStateChanged') continue;
      change((data) => withRead(data, event.activityIds.length > 0 ? event.activityIds : null));
    }
    if (events.length > 0) recount();
    if (activities.length === 0) return;
    if (atTop() && waiting.length === 0) {
      change((data) => withArrived(data, activities));
      shown.current = changes.at(-1)?.snapshot.cursor ?? shown.current;
    } else {
      setWaiting((before) => [...activities, ...before].slice(0, 500));
    }
  }, SHOW_EVERY);

  const { snapshot, tryNow, noteReadState } = useActivityStream(
    head === null ? null : {
      endpoint: session.endpoint, viewer: session.viewer, token: session.token, since: head, refetchFeed, speed,
      ...(filter && { filter }),
    },
    (one) => {
      if (one.events.length > 0) take(one);
    },
  );

  useEffect(() => setWaiting([]), [key]);
  useEffect(() => {
    shown.current = head;
  }, [head]);

  const showWaiting = useCallback(() => {
    change((data) => withArrived(data, waiting));
    shown.current = snapshot.cursor ?? shown.current;
    setWaiting([]);
  }, [change, waiting, snapshot.cursor]);

  // Both are shown at once, and taken back by asking again if the server does not agree.
  const mark = useMutation({
    mutationFn: async (ids: string[]) => (await request(session, MARK_READ, { ids })).markRead.readState,
    onMutate: (ids) => {
      change((data) => withRead(data, ids));
      client.setQueryData<number>(countKey, (before) => before && Math.max(0, before - ids.length));
    },
    onSuccess: noteReadState,
    onError: () => void client.invalidateQueries({ queryKey: key }),
    onSettled: recount,
  });
  const markAll = useMutation({
    mutationFn: async (through: Cursor) => (await request(session, MARK_ALL_READ, { through })).markAllRead.readState,
    onMutate: () => change((data) => withRead(data, null)),
    onSuccess: noteReadState,
    onError: () => void client.invalidateQueries({ queryKey: key }),
    onSettled: recount,
  });

  const edges = useMemo(() => edgesOf(feed.data), [feed.data]);
  const unreadIds = () => edges.filter((edge) => !edge.isRead).map((edge) => edge.node.id).slice(0, 500);
  return {
    edges,
    waiting: waiting.length,
    showWaiting,
    unread: count.data ?? null,
    loading: feed.isPending,
    error: feed.error,
    retry: () => void feed.refetch(),
    loadOlder: feed.hasNextPage ? () => void feed.fetchNextPage() : null,
    loadingOlder: feed.isFetchingNextPage,
    markRead: (ids) => mark.mutate(ids),
    // With a filter only what it shows: the log's cursor would mark everything else, too.
    markAllRead: () => (filter ? mark.mutate(unreadIds()) : shown.current && markAll.mutate(shown.current)),
    snapshot,
    tryNow,
  };
}

/** Collect what comes for a moment, and hand it over together. */
function useBatches<T>(handle: (batch: T[]) => void, every: number): (one: T) => void {
  const latest = useRef(handle);
  latest.current = handle;
  const collected = useRef<{ batch: T[]; timer: ReturnType<typeof setTimeout> | null }>({ batch: [], timer: null });
  useEffect(() => () => {
    if (collected.current.timer !== null) clearTimeout(collected.current.timer);
    collected.current = { batch: [], timer: null };
  }, []);
  return useCallback((one: T) => {
    const { current } = collected;
    current.batch.push(one);
    current.timer ??= setTimeout(() => {
      const { batch } = current;
      current.batch = [];
      current.timer = null;
      latest.current(batch);
    }, every);
  }, [every]);
}

/** Call when nothing has asked for it for a while; at the latest after four times that. */
function useSettled(call: () => void, after: number): () => void {
  const latest = useRef(call);
  latest.current = call;
  const asked = useRef<{ timer: ReturnType<typeof setTimeout> | null; since: number }>({ timer: null, since: 0 });
  useEffect(() => () => {
    if (asked.current.timer !== null) clearTimeout(asked.current.timer);
    asked.current.timer = null;
  }, []);
  return useCallback(() => {
    const { current } = asked;
    if (current.timer === null) current.since = Date.now();
    else clearTimeout(current.timer);
    const left = Math.min(after, Math.max(0, current.since + 4 * after - Date.now()));
    current.timer = setTimeout(() => {
      current.timer = null;
      latest.current();
    }, left);
  }, [after]);
}
