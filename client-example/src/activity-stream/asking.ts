// Polls, the server's health, a cursor to start from, and a new token: questions with one answer each.
import { compareCursors } from './cursor.ts';
import type { LogEvent } from './gate.ts';
import type { Cursor, FeedUpdates, TransportAdvice } from './operations.ts';
import type { Fault } from './messages.ts';
import { isAwake, needsPolls, pollInterval, speedOf } from './state.ts';
import { openSuccessor } from './streaming.ts';
import { around, backOff, MOST_REFUSALS } from './timing.ts';
import type { Turn } from './turn.ts';

export function poll(t: Turn): void {
  const { s } = t;
  s.pollAt = null;
  if (s.cursor === null || s.poll !== null || !needsPolls(s)) return;
  s.poll = { ...t.call(), since: s.cursor };
  t.count('polls');
  t.do({ kind: 'poll', id: s.poll.id, since: s.cursor });
}

export function hearPage(t: Turn, id: number, page: FeedUpdates): void {
  const { s } = t;
  if (s.poll?.id !== id) return;
  const { since } = s.poll;
  s.poll = null;
  s.pollFailures = 0;
  t.accepted();
  t.hearHead(page.head);
  t.hearAdvice(page.transport);
  const lost = page.events.find((event) => event.__typename === 'FeedGap' && event.recovery === 'REFETCH_FEED');
  if (lost?.__typename === 'FeedGap') {
    t.reset(lost.reason);
    return;
  }
  const events = page.events.filter(
    (event): event is LogEvent => event.__typename === 'ActivityAdded' || event.__typename === 'FeedGap',
  );
  t.take({ after: since, events, through: page.cursor, via: 'poll' });
  t.hearReadState(page.readState, page.cursor, 'poll');
  t.takeHeld();
  if (!page.hasMore) s.repair = s.held.length > 0 || isAhead(t);
  if (page.hasMore) s.pollAt = t.now;
  else if (s.repair) s.pollAt = t.now + s.timing.poll / 20; // this server is behind the one that streams
  // Advised to poll: the first page is here, so the stream can go.
  if (s.onAdvice && s.stream !== null) {
    t.abort(s.stream, s.successor);
    Object.assign(s, { stream: null, successor: null, openAt: t.nextProbe() });
  }
}

/** Whether the stream has gone on beyond what is on the screen, so that what comes next would be a hole. */
function isAhead(t: Turn): boolean {
  const { stream, cursor } = t.s;
  return stream !== null && cursor !== null && compareCursors(stream.through, cursor) > 0;
}

export function health(t: Turn): void {
  const { s } = t;
  s.healthAt = null;
  if (s.health !== null) return;
  s.health = t.call();
  t.count('healthQueries');
  t.do({ kind: 'health', id: s.health.id });
}

export function hearHealth(t: Turn, id: number, advice: TransportAdvice): void {
  const { s } = t;
  if (s.health?.id !== id) return;
  s.health = null;
  s.refusals = 0; // and nothing was heard: a server that is well says nothing of what we miss
  t.hearAdvice(advice);
}

export function locate(t: Turn): void {
  const { s } = t;
  s.locateAt = null;
  if (s.cursor !== null || s.locate !== null) return;
  s.locate = t.call();
  t.do({ kind: 'locate', id: s.locate.id, reason: s.resetReason });
}

export function hearLocated(t: Turn, id: number, head: Cursor): void {
  const { s } = t;
  if (s.locate?.id !== id) return;
  t.accepted();
  Object.assign(s, { locate: null, locateFailures: 0, cursor: head, head, held: [] });
  const reason = s.resetReason;
  s.resetReason = null;
  if (reason === null) return;
  // The feed shows what can be shown of what was missing.
  t.count('gaps', -s.openGaps.length);
  s.openGaps = [];
  t.do({ kind: 'deliver', events: [{ __typename: 'FeedReset', cursor: head, reason }], via: 'poll' });
}

export function renew(t: Turn): void {
  const { s } = t;
  s.renewAt = null;
  if (s.renewal !== null) return;
  s.renewal = t.call();
  t.do({ kind: 'renew', id: s.renewal.id });
}

export function hearRenewed(t: Turn, id: number): void {
  const { s } = t;
  if (s.renewal?.id !== id) return;
  Object.assign(s, { renewal: null, renewFailures: 0 });
  if (!s.blocked) {
    openSuccessor(t);
    return;
  }
  s.blocked = false;
  // What was refused is asked again at once.
  if (s.stream === null && s.openAt !== null) s.openAt = t.now;
  if (s.pollAt !== null) s.pollAt = t.now;
  if (s.cursor === null) s.locateAt = t.now;
}

/** A question was not answered. `signedOut`: it was about a token, and there is none. */
export function hearFailure(t: Turn, id: number, fault: Fault, signedOut: boolean): void {
  const { s } = t;
  const { timing } = s;
  const again = (failures: number, first: number, longest: number) =>
    t.now + Math.max(backOff(first, failures, longest, t.random()), (fault.retryAfter ?? 0) / speedOf(s));
  if (s.poll?.id === id) {
    s.poll = null;
    if (fault.kind === 'auth') return t.refused();
    if (fault.kind === 'cursor') return t.reset(fault.detail);
    s.pollFailures += 1;
    s.pollAt = again(s.pollFailures - 1, pollInterval(s), timing.longestPoll);
  } else if (s.health?.id === id) {
    s.health = null;
    if (fault.kind === 'auth') return t.refused();
    s.healthAt = again(0, timing.health, timing.health);
  } else if (s.locate?.id === id) {
    s.locate = null;
    if (fault.kind === 'auth') return t.refused();
    s.locateAt = again(s.locateFailures, timing.poll / 5, timing.longestPoll);
    s.locateFailures += 1;
  } else if (s.renewal?.id === id) {
    s.renewal = null;
    if (signedOut) s.signedOut = true;
    s.renewAt = again(s.renewFailures, timing.poll / 5, timing.longestPoll);
    s.renewFailures += 1;
  } else {
    return;
  }
  s.lastFault = fault.detail;
}

/** Arm what has to be armed, from the state as it is: so nothing that was forgotten on the way stays forgotten. */
export function ensure(t: Turn): void {
  const { s } = t;
  if (s.blocked && s.refusals >= MOST_REFUSALS) s.signedOut = true;
  if (!isAwake(s)) return stop(t);
  if (s.blocked) {
    if (s.renewal === null) s.renewAt ??= t.now;
    return;
  }
  if (s.cursor === null) {
    if (s.locate === null) s.locateAt ??= t.now;
    return;
  }
  if (needsPolls(s)) {
    if (s.poll === null) s.pollAt ??= pollInterval(s) + t.soon(t.jitter());
  } else {
    s.pollAt = null;
  }
  if (!s.leader) return;
  if (s.stream === null) s.openAt ??= t.now;
  if (s.health === null) s.healthAt ??= t.now + around(s.timing.health, 0.1, t.random());
}

/** Nothing is open while nobody could use it. */
function stop(t: Turn): void {
  const { s } = t;
  t.abort(s.stream, s.successor, s.poll, s.health, s.locate, s.renewal);
  Object.assign(s, { stream: null, successor: null, poll: null, health: null, locate: null, renewal: null });
  Object.assign(s, { openAt: null, pollAt: null, healthAt: null, locateAt: null, renewAt: null, acknowledgeAt: null });
}
