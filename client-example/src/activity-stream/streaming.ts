// What happens on a stream.
import { laterCursor, compareCursors } from './cursor.ts';
import type { ServerEvent, StreamNotice } from './operations.ts';
import type { Fault } from './messages.ts';
import { speedOf, type Connection } from './state.ts';
import { MOST_FAILURES, reconnectDelay } from './timing.ts';
import type { Turn } from './turn.ts';

export function open(t: Turn): void {
  const { s } = t;
  if (s.cursor === null || s.stream !== null) return;
  s.openAt = null;
  s.stream = connection(t, s.cursor);
}

/** A second stream, with a new token: the first one is kept until this one speaks. */
export function openSuccessor(t: Turn): void {
  const { s } = t;
  if (s.stream === null || s.successor !== null) return;
  s.successor = connection(t, s.stream.through);
}

function connection(t: Turn, since: string): Connection {
  const { id, startedAt } = t.call();
  t.count('streams');
  t.do({ kind: 'open', id, since });
  return { id, through: since, startedAt, openedAt: null, byteAt: startedAt, goodSince: null, behindSince: null };
}

export function hearBytes(t: Turn, id: number): void {
  const { s } = t;
  const beaten = <C extends Connection>(one: C) => ({ ...one, openedAt: one.openedAt ?? t.now, byteAt: t.now });
  if (s.stream?.id === id) s.stream = beaten(s.stream);
  else if (s.successor?.id === id) s.successor = beaten(s.successor);
  else return;
  t.heard();
}

export function hearFrame(t: Turn, id: number, event: ServerEvent): void {
  const { s } = t;
  hearBytes(t, id);
  if (s.successor?.id === id) {
    t.abort(s.stream);
    s.stream = s.successor;
    s.successor = null;
  }
  if (s.stream?.id !== id) return; // a late word of a stream that was closed
  t.accepted();
  hearEvent(t, event);
  // Still there: not closed, not given up for a new start.
  if (s.stream?.id === id) prove(t, s.stream);
}

function hearEvent(t: Turn, event: ServerEvent): void {
  const { s } = t;
  switch (event.__typename) {
    case 'ActivityAdded': {
      const before = s.counters.received;
      advance(t, event.cursor, event);
      if (s.counters.received > before && event.deliveryAttempt === 1) t.sampleLatency(event.publishedAt);
      return;
    }
    case 'FeedGap':
      if (event.recovery === 'REFETCH_FEED') t.reset(event.reason);
      else if (event.recovery === 'FETCH_UPDATES') skipTo(t, event.through);
      else advance(t, laterCursor(event.cursor, event.through), event);
      return;
    case 'GapHealed':
      t.heal(event, 'stream');
      advance(t, event.cursor);
      return;
    case 'ReadStateChanged':
      t.hearReadState(event.readState, event.cursor, 'stream', event.activityIds);
      advance(t, event.cursor);
      return;
    case 'StreamNotice':
      hearNotice(t, event);
      return;
    default:
      // A type of a newer server: its cursor counts all the same.
      advance(t, (event as { cursor?: string }).cursor);
  }
}

function hearNotice(t: Turn, notice: StreamNotice): void {
  const { s } = t;
  s.clockOffset = Date.parse(notice.at) - t.now;
  t.hearHead(notice.head);
  if (notice.ownState) t.hearReadState(notice.ownState, notice.cursor, 'stream');
  // HELLO says where the server starts; if that is beyond our cursor, the gap that explains it comes after HELLO.
  if (notice.kind !== 'HELLO') {
    advance(t, notice.cursor);
    lookBehind(t, notice);
  }
  t.hearAdvice(notice.transport);
  if (notice.kind === 'REAUTHENTICATE') s.renewAt = t.now;
  if (notice.kind === 'CLOSING') announcedEnd(t, notice.retryAfterSeconds ?? 0);
}

/** The stream has come to `cursor`, with `event` or without anything that matches. */
function advance(t: Turn, cursor: string | undefined, event?: Parameters<Turn['take']>[0]['events'][number]): void {
  const { s } = t;
  if (s.stream === null || typeof cursor !== 'string') return;
  const after = s.stream.through;
  const through = laterCursor(after, cursor);
  s.stream = { ...s.stream, through };
  t.take({ after, events: event ? [event] : [], through, via: 'stream' });
}

/** The stream leaves out what `updates` has. */
function skipTo(t: Turn, through: string): void {
  const { s } = t;
  if (s.stream === null) return;
  s.stream = { ...s.stream, through: laterCursor(s.stream.through, through) };
  if (s.cursor !== null && compareCursors(through, s.cursor) > 0) t.closeHole();
}

/** Heartbeats alone must not look healthy: the log may be ahead of the stream for a while only. */
function lookBehind(t: Turn, notice: StreamNotice): void {
  const { s } = t;
  if (s.stream === null) return;
  const behind = compareCursors(notice.head, s.stream.through) > 0;
  s.stream = { ...s.stream, behindSince: behind ? (s.stream.behindSince ?? t.now) : null };
}

/** A frame has come. A stream that has been good for long enough is trusted again; downgrades are immediate. */
function prove(t: Turn, stream: Connection): void {
  const { s } = t;
  const caughtUp = s.cursor !== null && compareCursors(stream.through, s.cursor) >= 0;
  if (!caughtUp || stream.behindSince !== null || s.advice?.mode === 'POLLING') {
    s.stream = { ...stream, goodSince: null };
    return;
  }
  const goodSince = stream.goodSince ?? t.now;
  s.stream = { ...stream, goodSince };
  if (t.now - goodSince < t.proof()) return;
  Object.assign(s, { failures: 0, tries: 0, probes: 0, resets: 0, onAdvice: false });
  t.switchTo(s.advice?.mode === 'DEGRADED' ? 'degraded' : 'sse', 'stream proven');
}

/** The server ends streams when it shuts down or they grow old: no failure. */
function announcedEnd(t: Turn, retryAfterSeconds: number): void {
  const { s } = t;
  t.abort(s.stream);
  s.stream = s.successor;
  s.successor = null;
  if (s.stream !== null) return;
  const asked = (retryAfterSeconds * 1_000) / speedOf(s);
  s.openAt = s.mode === 'polling' ? t.nextProbe(asked) : t.now + asked + reconnectDelay(s.tries, t.random()) / speedOf(s);
  s.tries += 1;
}

/** A stream ended, or never began. */
export function hearEnd(t: Turn, id: number, fault: Fault): void {
  const { s } = t;
  if (s.successor?.id === id) {
    s.successor = null;
    if (fault.kind === 'auth') t.refused();
    return;
  }
  if (s.stream?.id !== id) return;
  s.stream = s.successor;
  s.successor = null;
  if (fault.kind === 'auth') t.refused();
  else if (fault.kind === 'cursor') t.reset(fault.detail);
  else failed(t, fault);
}

/** Give a stream up that is silent. */
export function giveUp(t: Turn, detail: string): void {
  const { stream } = t.s;
  if (stream === null) return;
  t.abort(stream);
  hearEnd(t, stream.id, { kind: 'failed', detail });
}

function failed(t: Turn, fault: Fault): void {
  const { s } = t;
  const atLeast = (fault.retryAfter ?? 0) / speedOf(s);
  t.count('failures');
  s.lastFault = fault.detail;
  if (s.mode === 'polling') {
    s.probes += 1;
    if (s.stream === null) s.openAt = t.nextProbe(atLeast);
    return;
  }
  s.failures += 1;
  s.tries += 1;
  if (s.failures >= MOST_FAILURES) {
    t.switchTo('polling', 'stream failed', fault.detail);
    s.failures = 0;
    if (s.stream === null) s.openAt = t.nextProbe(atLeast);
  } else if (s.stream === null) {
    s.openAt = t.now + Math.max(reconnectDelay(s.tries - 1, t.random()) / speedOf(s), atLeast);
  }
}
