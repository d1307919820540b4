import { useEffect, useRef } from 'react';
import { useNow } from '../useNow.ts';
import { ActivityCard } from './ActivityCard.tsx';
import type { Filter } from './filter.ts';
import type { Feed } from './useFeed.ts';

interface Props {
  feed: Feed;
  filter: Filter;
  onFilter: (filter: Filter) => void;
}

/** The feed is no live region: a flood would be read aloud for minutes. What is new is announced elsewhere. */
export function FeedView({ feed, filter, onFilter }: Props) {
  const list = useRef<HTMLDivElement>(null);
  const now = useNow(5_000);
  const { edges, waiting, showWaiting } = feed;

  function showNew() {
    showWaiting();
    window.scrollTo({ top: 0 });
  }
  useShortcuts((key) => {
    if (key === '.') return waiting > 0 ? showNew() : undefined;
    const cards = [...(list.current?.querySelectorAll<HTMLElement>('.card') ?? [])];
    const at = cards.findIndex((card) => card.contains(document.activeElement));
    const read = cards[at]?.dataset.read === 'true';
    if (key === 'm') return at >= 0 && !read ? feed.markRead([cards[at]!.dataset.id!]) : undefined;
    cards[Math.min(cards.length - 1, Math.max(0, at + (key === 'j' ? 1 : -1)))]?.focus();
  });

  return (
    <div className="feed-body">
      {waiting > 0 && (
        <button type="button" className="pill" onClick={showNew}>
          {waiting} new <span aria-hidden="true">↑</span>
        </button>
      )}
      {feed.error && edges.length === 0 && (
        <div className="empty" role="alert">
          <p>{feed.error.message}</p>
          <button type="button" onClick={feed.retry}>Try again</button>
        </div>
      )}
      {feed.loading && !feed.error && <p className="empty">Loading the feed…</p>}
      {!feed.loading && !feed.error && edges.length === 0 && <p className="empty">Nothing yet. What happens will show here.</p>}
      <div role="feed" aria-label="Activities, newest first" aria-busy={feed.loading} ref={list}>
        {edges.map((edge, index) => (
          <ActivityCard
            key={edge.node.id} edge={edge} position={index + 1} now={now}
            onRead={() => feed.markRead([edge.node.id])}
            onMp={(mp) => onFilter({ ...filter, mp: { id: mp.id, label: mp.name } })}
            onBill={(bill) => onFilter({ ...filter, bill: { id: bill.id, label: `${bill.number} ${bill.title}` } })}
          />
        ))}
      </div>
      {feed.loadOlder && (
        <button type="button" className="older" disabled={feed.loadingOlder} onClick={feed.loadOlder}>
          {feed.loadingOlder ? 'Loading…' : 'Older'}
        </button>
      )}
    </div>
  );
}

/** J, K, M and the full stop, unless somebody is typing. */
function useShortcuts(run: (key: string) => void) {
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    function press(event: KeyboardEvent) {
      const typing = event.target instanceof HTMLElement && event.target.closest('input, select, textarea');
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const key = event.key.toLowerCase();
      if (['j', 'k', 'm', '.'].includes(key)) latest.current(key);
    }
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  }, []);
}
