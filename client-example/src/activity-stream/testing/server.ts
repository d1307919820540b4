// A server that speaks as ours does, and fails as networks do.
import { compareCursors, laterCursor } from '../cursor.ts';
import type { FeedGap, FeedUpdates, ReadState, ServerEvent, StreamNotice, Transport } from '../operations.ts';
import type { Fault, Input } from '../messages.ts';
import type { Tab, World } from './world.ts';

const REPLAY_CAP = 20;
const PAGE = 10;
const HEARTBEAT = 10_000;
/** What a client that confirms has not acknowledged by then comes again. */
const REDELIVERED_AFTER = 60_000;
const FAILED: Fault = { kind: 'failed', detail: 'connection lost' };

export interface Entry {
  cursor: string;
  prev: string;
  publishedAt: number;
  /** Whether it passes the client's filter. */
  matches: boolean;
  dead: boolean;
  everDead: boolean;
}

/** How a server, or the way to it, can fail; each until it is taken back. */
export const FAULTS = [
  'refuse', 'overloaded', 'hang', 'acceptThenClose', 'stall', 'lag', 'updatesFail', 'updatesHang', 'tokensAway', 'signedOut',
  'badTokens',
] as const;
export type FaultName = (typeof FAULTS)[number];

interface Connection {
  tab: Tab;
  id: number;
  through: string;
  open: boolean;
  /** Half-open: nothing arrives any more, and nobody says so. */
  mute: boolean;
  /** The last frame's arrival: what is sent later arrives later. */
  arrival: number;
}

export class Server {
  log: Entry[] = [];
  token = 1;
  advice: Transport = 'SSE';
  readState: ReadState = { unreadCount: 0, version: 1 };
  rejectsCursors = 0;
  acknowledged = '0-0';
  readonly faults = new Set<FaultName>();
  readonly connections = new Set<Connection>();
  /** Cursors that a `restore` took back, each with the world's count of resets until then. */
  private readonly lost = new Map<string, number>();
  private mail: Entry[] = [];
  private published = 0;
  private readonly world: World;

  constructor(world: World) {
    this.world = world;
    world.after(HEARTBEAT, () => this.beat());
  }

  get now(): number {
    return this.world.now;
  }

  get head(): string {
    return this.log.at(-1)?.cursor ?? '1000-0';
  }

  // ---- What happens there --------------------------------------------------------------------------------------

  publish(matches = true, dead = false): void {
    const cursor = `${this.world.now}-${this.published++}`;
    this.log.push({ cursor, prev: this.head, publishedAt: this.world.now, matches, dead, everDead: dead });
    this.feedAll();
  }

  redrive(): void {
    for (const entry of this.log.filter((one) => one.dead)) {
      entry.dead = false;
      if (entry.matches) this.mail.push(entry);
    }
    this.feedAll();
  }

  mark(): void {
    const { version } = this.readState;
    this.readState = { unreadCount: version % 7, version: version + 1 };
    const readState = this.readState;
    for (const one of this.speaking()) {
      this.frame(one, { __typename: 'ReadStateChanged', cursor: one.through, activityIds: [`${version}`], readState });
    }
  }

  /** Restored from a backup: the last entries never happened. */
  restore(entries: number): void {
    for (const entry of this.log.splice(Math.max(0, this.log.length - entries))) this.lost.set(entry.cursor, this.world.resets);
    this.mail = this.mail.filter((entry) => this.log.includes(entry));
    this.cutAll(false);
  }

  /** Whether the entry was lost in a `restore`, and nobody has had to load the feed again since: nobody knows of it. */
  tookBackUnnoticed(cursor: string): boolean {
    return this.lost.get(cursor) === this.world.resets;
  }

  setAdvice(mode: Transport): void {
    this.advice = mode;
    for (const one of this.speaking()) this.frame(one, this.notice('ADVICE', one.through));
  }

  expireTokens(): void {
    this.token += 1;
  }

  reauthenticate(): void {
    for (const one of this.speaking()) this.frame(one, this.notice('REAUTHENTICATE', one.through));
    this.expireTokens();
  }

  /** A planned end. */
  drain(): void {
    for (const one of [...this.speaking()]) {
      this.frame(one, { ...this.notice('CLOSING', one.through), retryAfterSeconds: 2 });
      this.end(one, FAILED);
    }
  }

  /** `silently`: the client is not told, as when its own network is gone. */
  cutAll(silently: boolean): void {
    for (const one of [...this.connections]) {
      if (silently) this.connections.delete(one);
      else this.end(one, FAILED);
    }
  }

  mute(): void {
    for (const one of this.connections) one.mute = true;
  }

  recover(fault: FaultName): void {
    if (this.faults.delete(fault)) this.feedAll();
  }

  heal(): void {
    this.faults.clear();
    this.rejectsCursors = 0;
    this.setAdvice('SSE');
    this.feedAll();
  }

  // ---- What clients ask ----------------------------------------------------------------------------------------

  connect(tab: Tab, id: number, since: string): void {
    this.asked(tab, id, () => {
      if (this.faults.has('hang')) return;
      const fault = this.refusal(tab);
      if (fault) return tab.hear({ kind: 'ended', id, fault });
      const one: Connection = { tab, id, through: since, open: true, mute: false, arrival: 0 };
      this.connections.add(one);
      tab.hear({ kind: 'bytes', id });
      this.greet(one, since);
      if (this.faults.has('acceptThenClose')) this.world.after(1_000, () => this.end(one, FAILED));
    });
  }

  disconnect(tab: Tab, id: number): void {
    for (const one of this.connections) if (one.tab === tab && one.id === id) this.connections.delete(one);
  }

  forget(tab: Tab): void {
    for (const one of this.connections) if (one.tab === tab) this.connections.delete(one);
  }

  poll(tab: Tab, id: number, since: string): void {
    this.asked(tab, id, () => {
      if (this.faults.has('updatesHang')) return;
      const fault = this.refusalOfQuery(tab) ?? this.refusalOfCursor();
      this.answer(tab, fault ? { kind: 'failed', id, fault } : { kind: 'polled', id, page: this.page(since) });
    });
  }

  askHealth(tab: Tab, id: number): void {
    this.asked(tab, id, () => {
      const fault = this.refusalOfQuery(tab);
      this.answer(tab, fault ? { kind: 'failed', id, fault } : { kind: 'advised', id, advice: this.transport() });
    });
  }

  locate(tab: Tab, id: number): void {
    this.asked(tab, id, () => {
      const fault = this.refusalOfQuery(tab);
      this.answer(tab, fault ? { kind: 'failed', id, fault } : { kind: 'located', id, head: this.head });
    });
  }

  renew(tab: Tab, id: number): void {
    this.world.after(this.world.latency(), () => {
      const signedOut = this.faults.has('signedOut');
      if (signedOut || this.faults.has('tokensAway')) return tab.hear({ kind: 'failed', id, fault: FAILED, signedOut });
      tab.token = this.faults.has('badTokens') ? -1 : this.token;
      tab.hear({ kind: 'renewed', id });
    });
  }

  // ---- How it answers ------------------------------------------------------------------------------------------

  private asked(tab: Tab, id: number, arrive: () => void): void {
    this.world.after(this.world.latency(), () => {
      if (this.world.online && tab.wants(id) && this.world.tabs.includes(tab)) arrive();
    });
  }

  private answer(tab: Tab, input: Input): void {
    this.world.after(this.world.latency(), () => this.world.online && tab.hear(input));
  }

  acknowledge(tab: Tab, through: string): void {
    this.world.after(this.world.latency(), () => {
      if (!this.world.online || this.refusalOfQuery(tab)) return;
      if (compareCursors(through, this.head) <= 0) this.acknowledged = laterCursor(this.acknowledged, through);
    });
  }

  private refusal(tab: Tab): Fault | null {
    if (this.faults.has('refuse')) return { kind: 'failed', detail: 'connection refused' };
    if (this.faults.has('overloaded')) return { kind: 'failed', detail: 'OVERLOADED', retryAfter: 20_000 };
    if (this.refuses(tab)) return { kind: 'auth', detail: 'UNAUTHENTICATED' };
    return this.refusalOfCursor();
  }

  private refusalOfCursor(): Fault | null {
    if (this.rejectsCursors === 0) return null;
    this.rejectsCursors -= 1;
    return { kind: 'cursor', detail: 'CURSOR_INVALID' };
  }

  private refusalOfQuery(tab: Tab): Fault | null {
    if (this.faults.has('updatesFail')) return { kind: 'failed', detail: 'status 500' };
    return this.refuses(tab) ? { kind: 'auth', detail: 'UNAUTHENTICATED' } : null;
  }

  private refuses(tab: Tab): boolean {
    return this.faults.has('badTokens') || tab.token !== this.token;
  }

  private greet(one: Connection, since: string): void {
    const gap = this.gapBefore(since, this.log.filter((entry) => after(entry, since)));
    one.through = gap?.cursor ?? since;
    this.frame(one, { ...this.notice('HELLO', one.through), ownState: this.readState });
    if (gap) this.frame(one, gap);
    this.feed(one);
  }

  /** What a stream that starts after `since` cannot show. */
  private gapBefore(since: string, missed: Entry[] | null): FeedGap | null {
    if (this.lost.has(since)) {
      const ahead = compareCursors(since, this.head) > 0;
      const cursor = ahead ? this.head : since;
      return gapOf(cursor, ahead ? cursor : '0-0', since, null, ahead ? 'CURSOR_AHEAD' : 'CURSOR_UNKNOWN', 'REFETCH_FEED');
    }
    if (missed === null || missed.length <= REPLAY_CAP) return null;
    const through = missed[missed.length - REPLAY_CAP - 1]!.cursor;
    return gapOf(through, since, through, missed.length - REPLAY_CAP, 'REPLAY_CAPPED', 'FETCH_UPDATES');
  }

  private page(since: string): FeedUpdates {
    const gap = this.gapBefore(since, null);
    const start = gap?.cursor ?? since;
    const missed = this.log.filter((entry) => after(entry, start));
    const scanned = missed.slice(0, PAGE);
    const events = scanned.filter((entry) => entry.matches).map((entry) => eventOf(entry, entry.cursor));
    const cursor = scanned.at(-1)?.cursor ?? start;
    const hasMore = missed.length > PAGE;
    return {
      cursor, head: this.head, hasMore, readState: this.readState, transport: this.transport(),
      events: gap ? [gap, ...events] : events,
    };
  }

  private *speaking(): Iterable<Connection> {
    if (this.faults.has('stall')) return;
    for (const one of this.connections) if (!one.mute) yield one;
  }

  private feedAll(): void {
    for (const one of this.speaking()) this.feed(one);
  }

  /** Send what a connection has not had. */
  private feed(one: Connection): void {
    if (this.faults.has('stall') || this.faults.has('lag') || one.mute) return;
    for (const entry of this.log.filter((other) => after(other, one.through))) {
      one.through = entry.cursor;
      if (entry.matches) this.frame(one, eventOf(entry, entry.cursor));
    }
    for (const entry of this.mail) {
      const { prev: since, cursor: through } = entry;
      this.frame(one, { __typename: 'GapHealed', cursor: one.through, since, through, activities: [activityOf(entry)] });
    }
  }

  private arrived(cursor: string): void {
    this.mail = this.mail.filter((entry) => entry.cursor !== cursor);
  }

  private beat(): void {
    for (const one of this.speaking()) {
      if (this.world.confirms) this.redeliver(one);
      this.frame(one, this.notice('BOOKMARK', one.through));
    }
    this.world.after(HEARTBEAT, () => this.beat());
  }

  private redeliver(one: Connection): void {
    const late = (entry: Entry) => entry.publishedAt < this.world.now - REDELIVERED_AFTER && !after(entry, one.through);
    for (const entry of this.log.filter((other) => after(other, this.acknowledged) && late(other))) {
      const event = eventOf(entry, entry.cursor);
      if (entry.matches && event.__typename === 'ActivityAdded') this.frame(one, { ...event, deliveryAttempt: 2 });
    }
  }

  private frame(one: Connection, event: ServerEvent): void {
    this.deliver(one, { kind: 'frame', id: one.id, event });
  }

  private end(one: Connection, fault: Fault): void {
    this.connections.delete(one);
    if (!one.mute) this.deliver(one, { kind: 'ended', id: one.id, fault });
  }

  private deliver(one: Connection, input: Input): void {
    one.arrival = Math.max(one.arrival, this.world.now + this.world.latency());
    this.world.after(one.arrival - this.world.now, () => {
      if (!this.world.online) return;
      // Mail is delivered once it has arrived at somebody who listens.
      const healed = input.kind === 'frame' && input.event.__typename === 'GapHealed' ? input.event.through : null;
      if (healed !== null && one.tab.wants(one.id) && !one.tab.frozen) this.arrived(healed);
      one.tab.hear(input);
    });
  }

  private notice(kind: StreamNotice['kind'], cursor: string): StreamNotice {
    return {
      __typename: 'StreamNotice', kind, cursor, head: this.head, at: new Date(this.world.now).toISOString(),
      ownState: null, retryAfterSeconds: null, reauthenticateBy: null, transport: this.transport(),
    };
  }

  private transport() {
    const retryAfterSeconds = this.advice === 'POLLING' ? 60 : 0;
    return { mode: this.advice, reason: null, pollIntervalSeconds: 5, jitterSeconds: 2, retryAfterSeconds };
  }
}

function after(entry: Entry, cursor: string): boolean {
  return compareCursors(entry.cursor, cursor) > 0;
}

function eventOf(entry: Entry, cursor: string): ServerEvent {
  if (entry.dead) return gapOf(cursor, entry.prev, entry.cursor, 1, 'DEAD_LETTERED', 'WAIT_FOR_HEAL');
  const publishedAt = new Date(entry.publishedAt).toISOString();
  return { __typename: 'ActivityAdded', cursor, publishedAt, deliveryAttempt: 1, activity: activityOf(entry) };
}

function activityOf(entry: Entry) {
  return {
    id: entry.cursor, type: 'OTHER', title: '', summary: null, url: null, occurredAt: '', mp: null, bill: null,
  } as const;
}

function gapOf(
  cursor: string, since: string, through: string, missing: number | null,
  reason: FeedGap['reason'], recovery: FeedGap['recovery'],
): FeedGap {
  return { __typename: 'FeedGap', cursor, since, through, missing, reason, recovery };
}
