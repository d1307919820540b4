// What the reader wants to see: one member, one bill, or both.
import type { Activity, ActivityFilter } from '../activity-stream/index.ts';
import type { FeedEdge } from './operations.ts';

export interface Named {
  id: string;
  label: string;
}

export interface Filter {
  mp: Named | null;
  bill: Named | null;
}

export const EVERYTHING: Filter = { mp: null, bill: null };

/** As the API takes it; with both, an activity has to match both. */
export function toApi({ mp, bill }: Filter): ActivityFilter | null {
  if (!mp && !bill) return null;
  return { ...(mp && { mpIds: [mp.id] }), ...(bill && { billIds: [bill.id] }) };
}

/** Members and bills to choose from: those that were seen, by name, and the one that is chosen. */
export function choices(seen: readonly FeedEdge[], filter: Filter): { mps: Named[]; bills: Named[] } {
  const mps = new Map<string, Named>();
  const bills = new Map<string, Named>();
  for (const { node } of seen) {
    if (node.mp) mps.set(node.mp.id, named(node.mp));
    if (node.bill) bills.set(node.bill.id, named(node.bill));
  }
  if (filter.mp) mps.set(filter.mp.id, filter.mp);
  if (filter.bill) bills.set(filter.bill.id, filter.bill);
  const byLabel = (a: Named, b: Named) => a.label.localeCompare(b.label, undefined, { numeric: true });
  return { mps: [...mps.values()].sort(byLabel), bills: [...bills.values()].sort(byLabel) };
}

function named(one: NonNullable<Activity['mp']> | NonNullable<Activity['bill']>): Named {
  return { id: one.id, label: 'name' in one ? one.name : `${one.number} ${one.title}` };
}
