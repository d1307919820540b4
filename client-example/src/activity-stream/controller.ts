// The state machine: what it is told goes in, what is to be done comes out. No timers, no network, no DOM, no clock.
//
// After every step `ensure` arms what the new state needs, and `deadlines` derives all waits from the state, so a
// transition cannot forget the way back. Downgrades are immediate, upgrades need proof (`prove` in streaming.ts).
import {
  ensure, health, hearFailure, hearHealth, hearLocated, hearPage, hearRenewed, locate, poll, renew,
} from './asking.ts';
import { deadlines, type Deadline } from './deadlines.ts';
import type { Effect, Input, LeaderStatus, TabMessage } from './messages.ts';
import type { Call, State } from './state.ts';
import { leaderStatus } from './snapshot.ts';
import { giveUp, hearBytes, hearEnd, hearFrame, open } from './streaming.ts';
import { Turn } from './turn.ts';

export interface Step {
  state: State;
  effects: Effect[];
}

/** `now` in milliseconds since 1970, never going back; `random` draws from [0, 1). `state` is not changed. */
export function step(state: State, input: Input, now: number, random: () => number): Step {
  const turn = new Turn(state, now, random);
  hear(turn, input);
  ensure(turn);
  announce(turn, state);
  return { state: turn.s, effects: turn.effects };
}

function hear(t: Turn, input: Input): void {
  const { s } = t;
  switch (input.kind) {
    case 'start':
      Object.assign(s, { started: true, cursor: input.cursor });
      t.do({ kind: 'tell', message: { kind: 'hello' } });
      return begin(t);
    case 'close':
      s.closed = true;
      return;
    case 'leader':
      return lead(t, input.leader);
    case 'offline':
      s.online = false;
      return;
    case 'online':
      if (!s.online) comeBack(t, () => (s.online = true), 2_000);
      return;
    case 'hidden':
      s.hiddenSince ??= t.now;
      return;
    case 'visible':
      s.hiddenSince = null;
      if (s.paused) return comeBack(t, () => (s.paused = false), 500);
      return look(t);
    case 'woke':
      return look(t);
    case 'tick':
      return tick(t);
    case 'tryNow':
      return tryNow(t);
    case 'bytes':
      return hearBytes(t, input.id);
    case 'frame':
      return hearFrame(t, input.id, input.event);
    case 'ended':
      return hearEnd(t, input.id, input.fault);
    case 'polled':
      return hearPage(t, input.id, input.page);
    case 'advised':
      return hearHealth(t, input.id, input.advice);
    case 'located':
      return hearLocated(t, input.id, input.head);
    case 'renewed':
      return hearRenewed(t, input.id);
    case 'failed':
      return hearFailure(t, input.id, input.fault, input.signedOut ?? false);
    case 'tab':
      return hearTab(t, input.message);
    case 'readState':
      return t.noteReadState(input.readState);
  }
}

/** A tab starts to wait for what it is to hear: silence is counted from here. */
function begin(t: Turn): void {
  t.s.heardAt = t.now;
}

function lead(t: Turn, leader: boolean): void {
  const { s } = t;
  if (s.leader === leader) return;
  s.leader = leader;
  begin(t);
  s.following = null;
  if (leader) return; // `ensure` opens a stream from our own cursor
  t.abort(s.stream, s.successor, s.health);
  Object.assign(s, { stream: null, successor: null, health: null, openAt: null, healthAt: null, acknowledgeAt: null });
}

/** The page can be used again: everything starts as if nothing had failed, spread over `within`. */
function comeBack(t: Turn, change: () => void, within: number): void {
  const { s } = t;
  change();
  begin(t);
  Object.assign(s, { failures: 0, tries: 0, probes: 0, pollFailures: 0 });
  if (s.cursor === null) return;
  s.repair = true;
  s.pollAt = t.soon(within / (5_000 / s.timing.poll));
  // After the poll: it shows what was missed while the stream is still being opened.
  if (s.leader) s.openAt = s.pollAt + 250;
}

/** Somebody looks at the page again, or the computer was asleep: is what it shows still true? */
function look(t: Turn): void {
  const { s } = t;
  if (s.cursor === null || !s.started) return;
  if (s.leader || s.heardAt === null || t.now - s.heardAt > s.timing.suspect) {
    s.repair = true;
    if (s.poll === null) s.pollAt = t.soon(s.timing.poll / 10);
  }
  if (s.stream !== null && t.now - s.stream.byteAt > s.timing.suspect) {
    t.abort(s.stream, s.successor);
    Object.assign(s, { stream: null, successor: null, openAt: t.now });
  }
}

function tryNow(t: Turn): void {
  const { s } = t;
  if (s.signedOut) {
    begin(t);
    Object.assign(s, { signedOut: false, refusals: 0, blocked: true });
  }
  if (!s.leader) t.do({ kind: 'tell', message: { kind: 'tryNow' } });
  Object.assign(s, { failures: 0, tries: 0, probes: 0, pollFailures: 0, locateFailures: 0, renewFailures: 0 });
  if (s.openAt !== null) s.openAt = t.now;
  if (s.pollAt !== null) s.pollAt = t.now;
  if (s.locateAt !== null) s.locateAt = t.now;
  if (s.renewAt !== null) s.renewAt = t.now;
}

function hearTab(t: Turn, message: TabMessage): void {
  const { s } = t;
  switch (message.kind) {
    case 'batch':
      t.take({ ...message.batch, via: 'tab' });
      return follow(t, message.status);
    case 'other':
      t.heard();
      if (message.event.__typename === 'GapHealed') t.heal(message.event, 'tab');
      if (message.event.__typename === 'ReadStateChanged') {
        t.hearReadState(message.event.readState, message.event.cursor, 'tab', message.event.activityIds);
      }
      return;
    case 'reset':
      if (!s.leader && s.cursor !== null) t.reset(message.reason);
      return;
    case 'tryNow':
      if (s.leader) tryNow(t);
      return;
    case 'hello':
      if (s.leader) t.do({ kind: 'tell', message: { kind: 'status', status: leaderStatus(s) } });
      return;
    case 'status':
      return follow(t, message.status);
  }
}

/** What the leading tab says of itself is how things are for this one. */
function follow(t: Turn, status: LeaderStatus): void {
  const { s } = t;
  if (s.leader) return;
  t.heard();
  s.following = status;
  s.advice = status.advice;
  t.hearHead(status.head);
  if (status.readState) t.hearReadState(status.readState, null, 'tab');
  t.switchTo(status.mode, status.reason, status.detail);
}

/** Fire what is due, in the order in which it was. What an earlier one has changed is looked at again. */
function tick(t: Turn): void {
  const due = deadlines(t.s)
    .filter(([, at]) => at <= t.now)
    .sort(([, a], [, b]) => a - b);
  for (const [name] of due) {
    if (deadlines(t.s).some(([one, at]) => one === name && at <= t.now)) fire(t, name);
  }
}

function fire(t: Turn, deadline: Deadline): void {
  const { s } = t;
  switch (deadline) {
    case 'hide':
      s.paused = true;
      return;
    case 'connect':
      return giveUp(t, 'no byte after connecting');
    case 'dead':
      return giveUp(t, 'silent stream');
    case 'successor':
      t.abort(s.successor);
      s.successor = null;
      return;
    case 'stall':
      return degrade(t, 'no byte heard');
    case 'lag':
      return degrade(t, 'stream lags');
    case 'silence':
      t.heard();
      if (s.cursor !== null) t.closeHole();
      return;
    case 'open':
      return open(t);
    case 'poll':
      return poll(t);
    case 'health':
      return health(t);
    case 'locate':
      return locate(t);
    case 'renew':
      return renew(t);
    case 'pollTimeout':
      return forget(t, s.poll);
    case 'healthTimeout':
      return forget(t, s.health);
    case 'locateTimeout':
      return forget(t, s.locate);
    case 'renewTimeout':
      return forget(t, s.renewal);
    case 'acknowledge':
      s.acknowledgeAt = null;
      if (s.cursor !== null) t.do({ kind: 'acknowledge', through: s.cursor });
      return;
  }
}

/** A question that nobody answers. */
function forget(t: Turn, call: Call | null): void {
  if (call === null) return;
  t.abort(call);
  hearFailure(t, call.id, { kind: 'failed', detail: 'no answer' }, false);
}

/** The stream is kept; what it does not bring is polled. */
function degrade(t: Turn, reason: 'no byte heard' | 'stream lags'): void {
  const { s } = t;
  if (s.stream !== null) s.stream = { ...s.stream, goodSince: null };
  t.switchTo('degraded', reason);
}

/** Tell the other tabs how things are, when that has changed. */
function announce(t: Turn, before: State): void {
  if (!t.s.leader) return;
  const told = t.effects.some((effect) => effect.kind === 'tell' && effect.message.kind === 'batch');
  if (!told && outline(before) !== outline(t.s)) t.do({ kind: 'tell', message: { kind: 'status', status: leaderStatus(t.s) } });
}

/** What the other tabs have to hear of at once; the rest goes along with the next batch. */
function outline(state: State): string {
  const { status, mode, nextAttemptAt, advice } = leaderStatus(state);
  return JSON.stringify([state.leader, status, mode, nextAttemptAt, advice]);
}
