// The one way to the screen: whatever transport or tab an event comes from, it passes here.
import { compareCursors, laterCursor } from './cursor.ts';
import type { ActivityAdded, Cursor, FeedGap, ReadState, ReadStateChanged } from './operations.ts';
import type { Via } from './types.ts';

/** Events that have a place in the log. */
export type LogEvent = ActivityAdded | FeedGap;

/** A stretch of the log without holes: everything after `after` up to `through` that matches the filter. */
export interface Batch {
  after: Cursor;
  events: readonly LogEvent[];
  through: Cursor;
  via: Via;
}

/** What is after `since`, up to `through`. */
export interface Stretch {
  since: Cursor;
  through: Cursor;
}

export type Admission =
  | { admitted: true; events: LogEvent[]; duplicates: number; cursor: Cursor }
  /** The batch begins beyond the cursor: what is between has to be fetched first. */
  | { admitted: false };

/** What of a batch is news to somebody who has everything up to `cursor`. */
export function admit(cursor: Cursor, batch: Batch): Admission {
  if (compareCursors(batch.after, cursor) > 0) return { admitted: false };
  const events = batch.events.filter((event) => compareCursors(placeOf(event), cursor) > 0);
  return {
    admitted: true,
    events,
    duplicates: batch.events.length - events.length,
    cursor: laterCursor(cursor, batch.through),
  };
}

/** A gap stands at its end: whoever is beyond it has seen, or been told of, what it is about. */
export function placeOf(event: LogEvent): Cursor {
  return event.__typename === 'FeedGap' ? event.through : event.cursor;
}

/**
 * What to tell of a change of read marks that was heard of; null: nothing. Versions grow by one, so a greater step means
 * that changes were missed, and nobody can say which activities they were about: no IDs, the feed has to be fetched again.
 */
export function admitReadState(
  known: ReadState | null,
  heard: { readState: ReadState; cursor: Cursor; activityIds?: string[] },
): ReadStateChanged | null {
  const { readState, cursor, activityIds } = heard;
  if (known === null && activityIds === undefined) return null; // the first that is heard is where counting starts
  if (known !== null && readState.version <= known.version) return null;
  const complete = known === null || readState.version === known.version + 1;
  return { __typename: 'ReadStateChanged', cursor, activityIds: complete ? (activityIds ?? []) : [], readState };
}

/** Whether one stretch of the log contains another. */
export function covers(one: Stretch, other: Stretch): boolean {
  return compareCursors(one.since, other.since) <= 0 && compareCursors(other.through, one.through) <= 0;
}
