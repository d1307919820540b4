// A browser and a network with a virtual clock, for the tests of the controller.
import type { Effect, Input, TabMessage } from '../messages.ts';
import { initialState, isAwake, type State } from '../state.ts';
import { step } from '../controller.ts';
import { nextDeadline } from '../deadlines.ts';
import { DEFAULT_TIMING } from '../timing.ts';
import { Screen } from './screen.ts';
import { Server } from './server.ts';

const MOST_STEPS_AT_ONCE = 2_000;

export class World {
  now = 1_790_000_000_000;
  readonly server: Server;
  readonly tabs: Tab[] = [];
  online = true;
  /** How often a tab has had to load the feed again. */
  resets = 0;
  private seed: number;
  private queue: { at: number; order: number; run: () => void }[] = [];
  private order = 0;

  readonly confirms: boolean;

  constructor(seed: number, confirms = false) {
    this.seed = seed;
    this.confirms = confirms;
    this.server = new Server(this);
  }

  /** Draws from [0, 1); the same for the same seed. */
  readonly random = (): number => {
    this.seed = (this.seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.seed ^ (this.seed >>> 15), 1 | this.seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };

  after(delay: number, run: () => void): void {
    this.queue.push({ at: this.now + delay, order: this.order++, run });
  }

  latency(): number {
    return 5 + 100 * this.random();
  }

  /** Let time pass, everything in its order. */
  run(milliseconds: number): void {
    const end = this.now + milliseconds;
    for (let atOnce = 0; ; ) {
      const next = this.next();
      if (next === null || next.at > end) break;
      atOnce = next.at > this.now ? 0 : atOnce + 1;
      if (atOnce > MOST_STEPS_AT_ONCE) throw new Error('BUSY LOOP: time does not pass any more');
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
  }

  private next(): { at: number; run: () => void } | null {
    let first: { at: number; run: () => void } | null = null;
    for (const tab of this.tabs) {
      const at = tab.frozen ? null : nextDeadline(tab.state);
      if (at !== null && (first === null || at < first.at)) first = { at, run: () => tab.send({ kind: 'tick' }) };
    }
    let earliest = 0;
    for (let i = 1; i < this.queue.length; i++) {
      const [a, b] = [this.queue[i]!, this.queue[earliest]!];
      if (a.at < b.at || (a.at === b.at && a.order < b.order)) earliest = i;
    }
    const queued = this.queue[earliest];
    if (queued === undefined || (first !== null && first.at < queued.at)) return first;
    const run = () => {
      this.queue.splice(this.queue.indexOf(queued), 1);
      queued.run();
    };
    return { at: queued.at, run };
  }

  openTab(): Tab {
    const tab = new Tab(this);
    this.tabs.push(tab);
    if (!this.online) tab.send({ kind: 'offline' });
    tab.send({ kind: 'start', cursor: null });
    this.elect();
    return tab;
  }

  closeTab(tab: Tab): void {
    this.tabs.splice(this.tabs.indexOf(tab), 1);
    this.server.forget(tab);
    this.elect();
  }

  /** Whom the Web Lock belongs to: the oldest tab that runs, unless a visible one wants it from a hidden one. */
  elect(): void {
    const able = this.tabs.filter((tab) => !tab.frozen);
    const held = able.find((tab) => tab.state.leader);
    const visible = able.find((tab) => tab.state.hiddenSince === null);
    const chosen = held && (held.state.hiddenSince === null || !visible) ? held : (visible ?? able[0]);
    for (const tab of this.tabs) if (tab !== chosen && tab.state.leader) tab.send({ kind: 'leader', leader: false });
    chosen?.send({ kind: 'leader', leader: true });
  }

  setOnline(online: boolean): void {
    this.online = online;
    if (!online) this.server.cutAll(true);
    for (const tab of this.tabs) tab.send({ kind: online ? 'online' : 'offline' });
  }

  get leader(): Tab | undefined {
    return this.tabs.find((tab) => tab.state.leader);
  }
}

export class Tab {
  state: State;
  token = 0;
  frozen = false;
  readonly screen: Screen;
  private aborted = new Set<number>();
  private waiting: Input[] = [];
  private readonly world: World;

  constructor(world: World) {
    this.world = world;
    this.state = initialState(DEFAULT_TIMING, { confirms: world.confirms, needsToken: true });
    this.screen = new Screen(world.server);
  }

  send(input: Input): void {
    if (this.frozen) {
      if (input.kind !== 'tick') this.waiting.push(input);
      return;
    }
    const { state, effects } = step(this.state, input, this.world.now, this.world.random);
    this.state = state;
    for (const effect of effects) this.act(effect);
    this.screen.check(state);
    if (isAwake(state) && nextDeadline(state) === null) throw new Error('NOTHING ARMED');
    if (state.stream && !state.leader) throw new Error('A stream without being the leader');
  }

  setFrozen(frozen: boolean): void {
    this.frozen = frozen;
    if (frozen && this.state.leader) {
      // The browser tells the page in time: it gives the lock back.
      this.frozen = false;
      this.send({ kind: 'leader', leader: false });
      this.frozen = true;
    }
    if (!frozen) {
      const waiting = this.waiting;
      this.waiting = [];
      this.send({ kind: 'woke' });
      for (const input of waiting) this.send(input);
    }
    this.world.elect();
  }

  setHidden(hidden: boolean): void {
    this.send({ kind: hidden ? 'hidden' : 'visible' });
    this.world.elect();
  }

  /** Something from the network, even if it is not wanted any more: an abort may come too late. */
  hear(input: Input): void {
    if (this.world.tabs.includes(this)) this.send(input);
  }

  wants(id: number): boolean {
    return !this.aborted.has(id);
  }

  private act(effect: Effect): void {
    const { server } = this.world;
    switch (effect.kind) {
      case 'open':
        return server.connect(this, effect.id, effect.since);
      case 'abort':
        this.aborted.add(effect.id);
        return server.disconnect(this, effect.id);
      case 'poll':
        return server.poll(this, effect.id, effect.since);
      case 'health':
        return server.askHealth(this, effect.id);
      case 'locate':
        return server.locate(this, effect.id);
      case 'renew':
        return server.renew(this, effect.id);
      case 'acknowledge':
        return server.acknowledge(this, effect.through);
      case 'deliver':
        for (const event of effect.events) {
          this.screen.show(event);
          if (event.__typename === 'FeedReset') this.world.resets += 1;
        }
        return;
      case 'tell':
        return this.tell(effect.message);
    }
  }

  private tell(message: TabMessage): void {
    const copy = JSON.parse(JSON.stringify(message)) as TabMessage;
    this.world.after(1 + 4 * this.world.random(), () => {
      for (const tab of this.world.tabs) if (tab !== this) tab.send({ kind: 'tab', message: copy });
    });
  }
}
