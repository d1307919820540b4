// What TanStack Query keeps of one reader's feed under one filter, and the ways to change it.
import { useQueryClient } from '@tanstack/react-query';
import { useMemo } from 'react';
import { request } from '../api.ts';
import type { ActivityFilter, Cursor } from '../activity-stream/index.ts';
import type { Session } from '../session.ts';
import type { FeedData } from './merging.ts';
import { FEED } from './operations.ts';
import { useSettled } from './rhythm.ts';

export const PAGE = 20;
/** The exact number of unread activities is asked for this long after the last change. */
const COUNT_AFTER = 1_500;

export interface FeedCache {
  feedKey: readonly unknown[];
  countKey: readonly unknown[];
  change: (how: (data: FeedData) => FeedData) => void;
  /** Show the newest page, and nothing else; gives where it ends. */
  restart: () => Promise<Cursor>;
  reload: () => void;
  /** Ask for the number of unread ones, soon. */
  recount: () => void;
  countDown: (by: number) => void;
}

export function useFeedCache(session: Session, filter: ActivityFilter | null): FeedCache {
  const client = useQueryClient();
  const countKey = useMemo(() => ['unread', session.viewer, filter], [session, filter]);
  const recount = useSettled(() => void client.invalidateQueries({ queryKey: countKey }), COUNT_AFTER);
  return useMemo(() => {
    const feedKey = ['feed', session.viewer, filter];
    return {
      feedKey,
      countKey,
      change: (how) => client.setQueryData<FeedData>(feedKey, (data) => data && how(data)),
      restart: async () => {
        const { feed } = await request(session, FEED, { first: PAGE, after: null, filter });
        client.setQueryData<FeedData>(feedKey, { pages: [feed], pageParams: [null] });
        return feed.head;
      },
      reload: () => void client.invalidateQueries({ queryKey: feedKey }),
      recount,
      countDown: (by) => client.setQueryData<number>(countKey, (before) => before && Math.max(0, before - by)),
    };
  }, [client, session, filter, countKey, recount]);
}
