// Marking as read: shown at once, and taken back by asking again if the server does not agree.
import { useMutation } from '@tanstack/react-query';
import { request } from '../api.ts';
import type { Cursor, ReadState } from '../activity-stream/index.ts';
import type { Session } from '../session.ts';
import { withRead } from './merging.ts';
import { MARK_ALL_READ, MARK_READ } from './operations.ts';
import type { FeedCache } from './useFeedCache.ts';

/** The most that the server takes at a time. */
const MOST = 500;

export interface Marks {
  some: (ids: readonly string[]) => void;
  through: (cursor: Cursor) => void;
}

/** `told`: what the server says of the reader's marks afterwards. */
export function useMarks(session: Session, cache: FeedCache, told: (state: ReadState) => void): Marks {
  const after = { onSuccess: told, onError: cache.reload, onSettled: cache.recount };
  const some = useMutation({
    mutationFn: async (ids: string[]) => (await request(session, MARK_READ, { ids })).markRead.readState,
    onMutate: (ids) => {
      cache.change((data) => withRead(data, ids));
      cache.countDown(ids.length);
    },
    ...after,
  });
  const through = useMutation({
    mutationFn: async (cursor: Cursor) => (await request(session, MARK_ALL_READ, { through: cursor })).markAllRead.readState,
    onMutate: () => cache.change((data) => withRead(data, null)),
    ...after,
  });
  return {
    some: (ids) => ids.length > 0 && some.mutate(ids.slice(0, MOST)),
    through: (cursor) => through.mutate(cursor),
  };
}
