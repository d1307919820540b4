// One step of the controller: a copy of the state that may be changed, and what is to be done afterwards.
import { compareCursors, laterCursor } from './cursor.ts';
import { admit, admitReadState, covers, type Batch, type LogEvent } from './gate.ts';
import type { Cursor, GapHealed, ReadState, ReadStateChanged, TransportAdvice } from './operations.ts';
import { leaderStatus } from './snapshot.ts';
import type { Effect } from './messages.ts';
import { speedOf, type Call, type State } from './state.ts';
import { backOff, retryDelay } from './timing.ts';
import type { Counters, Mode, SwitchReason, Via } from './types.ts';

const MOST_SWITCHES = 50;
const MOST_LATENCIES = 120;
const MOST_GAPS = 20;
const MOST_HEALED = 100;
/** Batches that wait for a hole to be closed; what does not fit is fetched by the next poll. */
const MOST_HELD = 1_000;

export class Turn {
  readonly s: State;
  readonly effects: Effect[] = [];

  readonly now: number;
  /** Draws from [0, 1). */
  readonly random: () => number;

  constructor(state: State, now: number, random: () => number) {
    this.s = { ...state };
    this.now = now;
    this.random = random;
  }

  do(effect: Effect): void {
    this.effects.push(effect);
  }

  count(name: keyof Counters, by = 1): void {
    if (by !== 0) this.s.counters = { ...this.s.counters, [name]: this.s.counters[name] + by };
  }

  /** Something to be asked, with an ID of its own; the caller says what. */
  call(): Call {
    return { id: this.s.nextId++, startedAt: this.now };
  }

  /** `within` milliseconds from now, drawn at random. */
  soon(within: number): number {
    return this.now + within * this.random();
  }

  // ---- The screen ----------------------------------------------------------------------------------------------

  /** Let a batch through the gate, or keep it until the hole before it is closed. */
  take(batch: Batch): void {
    const { s } = this;
    if (s.cursor === null) return; // the feed is being loaded: its head is beyond all that is heard meanwhile, or a hole
    const admission = admit(s.cursor, batch);
    if (!admission.admitted) {
      this.count('holes', Math.max(1, batch.events.length));
      s.held = [...s.held, batch].slice(-MOST_HELD);
      this.closeHole();
      return;
    }
    s.cursor = admission.cursor;
    this.count('duplicates', admission.duplicates);
    this.show(admission.events, batch.via);
    if (s.leader) this.do({ kind: 'tell', message: { kind: 'batch', batch, status: leaderStatus(s) } });
  }

  /** Batches that waited for a hole to be closed. */
  takeHeld(): void {
    const held = this.s.held;
    this.s.held = [];
    for (const batch of held) {
      if (this.s.cursor !== null && compareCursors(batch.after, this.s.cursor) > 0) this.s.held = [...this.s.held, batch];
      else this.take(batch);
    }
  }

  /** Fetch what is missing, at once. */
  closeHole(): void {
    this.s.repair = true;
    if (this.s.poll === null && this.s.pollFailures === 0) this.s.pollAt = this.now;
  }

  private show(fresh: LogEvent[], via: Via): void {
    const { s } = this;
    const events = fresh.filter((event) => event.__typename !== 'FeedGap' || !s.healed.some((one) => covers(one, event)));
    for (const event of events) {
      if (event.__typename === 'ActivityAdded') this.count('received');
      if (event.__typename === 'FeedGap') {
        this.count('gaps');
        s.openGaps = [...s.openGaps, event].slice(-MOST_GAPS);
      }
    }
    if (events.length === 0) return;
    this.do({ kind: 'deliver', events, via });
    if (s.confirms && s.leader) s.acknowledgeAt ??= this.now + s.timing.acknowledge;
  }

  /** What was announced as missing: its cursors are old, so no cursor gates it. */
  heal(event: GapHealed, via: Via): void {
    const { s } = this;
    if (s.healed.some((one) => covers(one, event))) {
      this.count('duplicates');
      return;
    }
    s.healed = [...s.healed, event].slice(-MOST_HEALED);
    const left = s.openGaps.filter((gap) => !covers(event, gap));
    const made = s.openGaps.length - left.length;
    s.openGaps = left;
    this.count('recovered', made);
    this.count('gaps', -made);
    this.do({ kind: 'deliver', events: [event], via });
    this.tellOther(event);
  }

  /** The user's read marks, from a stream, an answer or a tab. */
  hearReadState(readState: ReadState, at: Cursor | null, via: Via, activityIds?: string[]): void {
    const { s } = this;
    const cursor = at ?? s.cursor ?? '0-0';
    const event = admitReadState(s.readState, { readState, cursor, ...(activityIds && { activityIds }) });
    if (s.readState === null || readState.version > s.readState.version) s.readState = readState;
    if (event === null) return;
    this.do({ kind: 'deliver', events: [event], via });
    this.tellOther(event);
  }

  /** What an answer to the application itself said. It knows what it has marked, not what others have meanwhile. */
  noteReadState(readState: ReadState): void {
    const { s } = this;
    if (s.readState !== null && readState.version > s.readState.version + 1) this.hearReadState(readState, null, 'poll', []);
    else if (s.readState === null || readState.version > s.readState.version) s.readState = readState;
  }

  private tellOther(event: GapHealed | ReadStateChanged): void {
    if (this.s.leader) this.do({ kind: 'tell', message: { kind: 'other', event } });
  }

  sampleLatency(publishedAt: string): void {
    const { clockOffset, stream } = this.s;
    const published = Date.parse(publishedAt);
    // What was published before the stream was open has waited for it, not travelled.
    if (clockOffset === null || stream?.openedAt == null || published < stream.openedAt + clockOffset) return;
    this.s.latencies = [...this.s.latencies, Math.max(0, this.now + clockOffset - published)].slice(-MOST_LATENCIES);
  }

  hearHead(head: Cursor | null | undefined): void {
    if (head) this.s.head = this.s.head === null ? head : laterCursor(this.s.head, head);
  }

  // ---- The transport -------------------------------------------------------------------------------------------

  heard(): void {
    this.s.heardAt = this.now;
  }

  switchTo(to: Mode, reason: SwitchReason, detail: string | null = null): void {
    const { s } = this;
    if (s.mode === to) return;
    const change = { at: this.now, from: s.mode, to, reason, detail, cursor: s.cursor };
    s.switches = [...s.switches, change].slice(-MOST_SWITCHES);
    if (s.mode === 'sse') s.demotions = [...this.recentDemotions(), this.now];
    s.mode = to;
    if (to === 'polling') s.probes = 0;
    if (to === 'sse') s.pollAt = null;
    else s.pollAt ??= this.soon(this.jitter()); // beside or in place of the stream, at once
  }

  /** How long a stream has to be good before it is trusted: the more it failed of late, the longer. */
  proof(): number {
    const { proof, longestProof } = this.s.timing;
    return Math.min(longestProof, proof * 2 ** Math.min(8, this.recentDemotions().length));
  }

  private recentDemotions(): number[] {
    return this.s.demotions.filter((at) => at > this.now - this.s.timing.memory);
  }

  hearAdvice(advice: TransportAdvice): void {
    const { s } = this;
    const news = s.advice !== null && s.advice.mode !== advice.mode;
    s.advice = advice;
    s.healthAt = null; // counted anew from here
    if (!s.leader) return;
    if (news && s.stream) s.stream = { ...s.stream, goodSince: null };
    if (advice.mode === 'POLLING') {
      this.switchTo('polling', 'server advice', advice.reason);
      s.onAdvice = true;
      if (s.openAt !== null) s.openAt = Math.max(s.openAt, this.now + this.afterAdvice());
      return;
    }
    if (advice.mode === 'DEGRADED' && s.mode === 'sse') this.switchTo('degraded', 'server advice', advice.reason);
    if (s.onAdvice && s.openAt !== null) s.openAt = Math.min(s.openAt, this.soon(this.jitter()));
    s.onAdvice = false;
  }

  /** What the server wants polls, and the way back, to be spread over. */
  jitter(): number {
    return ((this.s.advice?.jitterSeconds ?? 0) * 1_000) / speedOf(this.s);
  }

  /** How long the server wants no stream to be tried. */
  private afterAdvice(): number {
    const { s } = this;
    return s.onAdvice && s.advice ? (s.advice.retryAfterSeconds * 1_000) / speedOf(s) : 0;
  }

  /** When to try the stream while polling. */
  nextProbe(atLeast = 0): number {
    const { s } = this;
    return this.now + Math.max(retryDelay(s.timing, s.probes, this.random()), this.afterAdvice(), atLeast);
  }

  abort(...calls: (Call | null)[]): void {
    for (const call of calls) if (call) this.do({ kind: 'abort', id: call.id });
  }

  // ---- Starting over -------------------------------------------------------------------------------------------

  /** The cursor is of no use: load the feed anew and go on from its head. */
  reset(reason: string): void {
    const { s } = this;
    this.abort(s.stream, s.successor, s.poll, s.locate);
    Object.assign(s, { stream: null, successor: null, openAt: null, poll: null, pollAt: null, locate: null });
    Object.assign(s, { cursor: null, held: [], repair: false, resetReason: reason });
    // A server that refuses what it has just given must not be asked in a loop.
    s.locateAt = s.resets === 0 ? this.now : this.now + backOff(1_000, s.resets, s.timing.longestPoll, this.random());
    s.resets += 1;
    this.count('resets');
    if (s.leader) this.do({ kind: 'tell', message: { kind: 'reset', reason } });
  }

  /** The token was refused: get another one before anything else is asked. */
  refused(): void {
    const { s } = this;
    if (s.blocked) return;
    s.refusals += 1;
    s.blocked = true;
  }

  /** Something was answered: the token is good, and so is the line. */
  accepted(): void {
    this.heard();
    this.s.refusals = 0;
  }
}
