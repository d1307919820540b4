// How what is on the screen changes, as plain functions of what the query cache holds. Everything is merged by activity.
import type { InfiniteData } from '@tanstack/react-query';
import type { Activity, DeliveredEvent } from '../activity-stream/index.ts';
import type { FeedEdge, FeedPage } from './operations.ts';

export type FeedData = InfiniteData<FeedPage>;

/** Activities that are kept in memory; a page that stays open for a week must not grow for a week. */
export const MOST_KEPT = 500;

export function edgesOf(data: FeedData | undefined): FeedEdge[] {
  return data?.pages.flatMap((page) => page.edges) ?? [];
}

/** The activities of events, newest first, as a feed shows them. */
export function arrived(events: readonly DeliveredEvent[]): Activity[] {
  const found = events.flatMap((event) => {
    if (event.__typename === 'ActivityAdded') return [event.activity];
    return event.__typename === 'GapHealed' ? event.activities : [];
  });
  return found.reverse();
}

/** With `activities`, newest first, on top. What is there already stays where it is. */
export function withArrived(data: FeedData, activities: readonly Activity[]): FeedData {
  const [first, ...rest] = data.pages;
  if (!first) return data;
  const known = new Set(edgesOf(data).map((edge) => edge.node.id));
  const fresh = activities.filter(({ id }) => !known.has(id) && known.add(id));
  if (fresh.length === 0) return data;
  const edges = [...fresh.map((node) => ({ id: null, isRead: false, node })), ...first.edges];
  return trimmed({ ...data, pages: [{ ...first, edges }, ...rest] });
}

/** With these activities read; all of them, without `ids`. The same object if nothing changes. */
export function withRead(data: FeedData, ids: readonly string[] | null): FeedData {
  const wanted = ids && new Set(ids);
  let changed = false;
  const pages = data.pages.map((page) => ({
    ...page,
    edges: page.edges.map((edge) => {
      if (edge.isRead || (wanted && !wanted.has(edge.node.id))) return edge;
      changed = true;
      return { ...edge, isRead: true };
    }),
  }));
  return changed ? { ...data, pages } : data;
}

/** Without the oldest beyond MOST_KEPT; whoever wants them back asks for older ones. */
function trimmed(data: FeedData): FeedData {
  let left = MOST_KEPT;
  const pages = data.pages.flatMap((page, index) => {
    if (left <= 0 && index > 0) return [];
    const edges = page.edges.slice(0, Math.max(0, left));
    left -= page.edges.length;
    // The cursor for older ones is of the page's last edge, which the stream's activities do not have.
    const pageInfo = edges.length < page.edges.length ? { hasNextPage: false, endCursor: null } : page.pageInfo;
    return [{ ...page, edges, pageInfo }];
  });
  return { pages, pageParams: data.pageParams.slice(0, pages.length) };
}
