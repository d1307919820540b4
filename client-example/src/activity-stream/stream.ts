// Puts the parts together: the controller decides, everything else acts, and tells it what came of it.
import { watchPage, type Page } from './browser.ts';
import { Clock } from './clock.ts';
import { step } from './controller.ts';
import { nextDeadline } from './deadlines.ts';
import type { ReadState } from './operations.ts';
import { snapshotOf } from './snapshot.ts';
import type { Effect, Input } from './messages.ts';
import { initialState, type State } from './state.ts';
import { alone, joinTabs, type Tabs } from './tabs.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';
import { Transport } from './transport.ts';
import type { ActivityStream, ActivityStreamOptions, Change, DeliveredEvent, StreamSnapshot, Via } from './types.ts';

/** What `setTimeout` takes at most. */
const LONGEST_TIMER = 2 ** 31 - 1;

export function createActivityStream(options: ActivityStreamOptions): ActivityStream {
  const stream = new Stream(options);
  return {
    subscribe: (listener) => stream.subscribe(listener),
    snapshot: () => stream.snapshot,
    tryNow: () => stream.hear({ kind: 'tryNow' }),
    noteReadState: (readState: ReadState) => stream.hear({ kind: 'readState', readState }),
    close: () => stream.close(),
  };
}

class Stream {
  snapshot: StreamSnapshot;
  private state: State;
  private token: string | null = null;
  private hadToken = false;
  private tabs: Tabs | null = null;
  private page: Page | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private inputs: Input[] | null = null;
  /** To be told with the next flush. */
  private events: DeliveredEvent[] = [];
  private via: Via | null = null;
  private flushing: ReturnType<typeof setTimeout> | undefined;
  private stored: string | null = null;
  private readonly clock = new Clock();
  private readonly listeners = new Set<(change: Change) => void>();
  private readonly transport: Transport;
  private readonly key: string;
  private readonly options: ActivityStreamOptions;

  constructor(options: ActivityStreamOptions) {
    this.options = options;
    const { endpoint, viewer, filter = null } = options;
    this.key = `activity-stream ${JSON.stringify([viewer, endpoint, filter])}`;
    const confirms = options.device !== undefined && options.confirm === 'CLIENT';
    this.state = initialState(scaled(options.speed ?? 1), { confirms, needsToken: options.token !== undefined });
    this.snapshot = snapshotOf(this.state);
    // Two tabs that name the same device would take its stream away from each other.
    const named = () => (this.tabs?.exclusive ? (options.device ?? null) : null);
    this.transport = new Transport(
      {
        endpoint,
        filter,
        get device() {
          return named();
        },
        get confirm() {
          return confirms && named() !== null ? 'CLIENT' : 'SOCKET';
        },
        fetchFn: options.fetchFn ?? ((input, init) => fetch(input, init)),
        bearer: () => this.token,
      },
      (input) => this.hear(input),
    );
  }

  subscribe(listener: (change: Change) => void): () => void {
    const own = (change: Change) => listener(change);
    this.listeners.add(own);
    this.start();
    return () => this.listeners.delete(own);
  }

  close(): void {
    this.hear({ kind: 'close' });
    this.flush();
    clearTimeout(this.timer);
    this.page?.close();
    this.tabs?.close();
    this.listeners.clear();
  }

  /** Something happened. What happens meanwhile waits its turn. */
  hear(input: Input): void {
    if (this.state.closed) return;
    if (this.inputs !== null) {
      this.inputs.push(input);
      return;
    }
    this.inputs = this.clock.wasAsleep() && input.kind !== 'close' ? [{ kind: 'woke' }, input] : [input];
    try {
      for (let next = this.inputs.shift(); next !== undefined; next = this.inputs.shift()) this.take(next);
    } finally {
      this.inputs = null;
    }
    this.wait();
  }

  private take(input: Input): void {
    const { state, effects } = step(this.state, input, this.clock.now(), Math.random);
    this.state = state;
    for (const effect of effects) {
      if (effect.kind === 'deliver') this.deliver(effect.events, effect.via);
      else this.act(effect);
    }
    this.flushing ??= setTimeout(() => this.flush());
  }

  private deliver(events: DeliveredEvent[], via: Via): void {
    if (this.via !== null && this.via !== via) this.flush();
    this.events.push(...events);
    this.via = via;
  }

  /** Tell the listeners, once for all that came in one turn of the event loop: 500 events are one rendering, not 500. */
  private flush(): void {
    clearTimeout(this.flushing);
    const { events, via, state } = this;
    Object.assign(this, { flushing: undefined, events: [], via: null, snapshot: snapshotOf(state) });
    for (const listener of [...this.listeners]) {
      try {
        listener({ snapshot: this.snapshot, events, via });
      } catch (error) {
        // A listener's fault is not ours: it shows up as any other error of the page.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    // Only now: what was not shown has to come again after a reload.
    if (state.cursor !== null && state.cursor !== this.stored) this.remember(state.cursor);
  }

  private act(effect: Exclude<Effect, { kind: 'deliver' }>): void {
    switch (effect.kind) {
      case 'open':
        return this.transport.open(effect.id, effect.since);
      case 'poll':
        return this.transport.poll(effect.id, effect.since);
      case 'health':
        return this.transport.health(effect.id);
      case 'locate':
        return this.transport.locate(effect.id, this.options.refetchFeed);
      case 'renew':
        return this.renew(effect.id);
      case 'abort':
        return this.transport.abort(effect.id);
      case 'acknowledge':
        return this.transport.acknowledge(effect.through);
      case 'tell':
        this.tabs?.tell(effect.message);
    }
  }

  private renew(id: number): void {
    this.transport.question(id, async () => {
      const token = (await this.options.token?.({ renew: this.hadToken })) ?? null;
      if (token === null) return { kind: 'failed', id, signedOut: true, fault: { kind: 'auth', detail: 'signed out' } };
      this.token = token;
      this.hadToken = true;
      return { kind: 'renewed', id };
    });
  }

  private start(): void {
    if (this.tabs !== null || this.state.closed) return;
    this.page = watchPage({
      onOnline: (online) => this.hear({ kind: online ? 'online' : 'offline' }),
      onVisible: (visible) => {
        this.tabs?.setVisible(visible);
        this.hear({ kind: visible ? 'visible' : 'hidden' });
      },
      onAside: (aside) => {
        if (aside) return this.tabs?.release();
        this.tabs?.request();
        this.hear({ kind: 'woke' });
      },
    });
    const listener = {
      onLeader: (leader: boolean) => this.hear({ kind: 'leader', leader }),
      onMessage: (message: Parameters<Tabs['tell']>[0]) => this.hear({ kind: 'tab', message }),
    };
    this.tabs = this.options.shareTabs === false ? alone(listener, true) : joinTabs(this.key, listener);
    this.tabs.setVisible(this.page.visible);
    if (!this.page.online) this.hear({ kind: 'offline' });
    if (!this.page.visible) this.hear({ kind: 'hidden' });
    // An application that loads the feed shows the past, and goes on from its head.
    const stored = this.options.refetchFeed ? null : this.remembered();
    this.hear({ kind: 'start', cursor: this.options.since ?? stored });
  }

  private wait(): void {
    clearTimeout(this.timer);
    const at = nextDeadline(this.state);
    this.clock.expect(at);
    if (at === null) return;
    // Never at once: timers come a little early in some browsers, and would find nothing due.
    const delay = Math.min(LONGEST_TIMER, Math.max(1, Math.ceil(at - this.clock.now())));
    this.timer = setTimeout(() => this.hear({ kind: 'tick' }), delay);
  }

  private get storage(): ActivityStreamOptions['storage'] {
    if (this.options.storage !== undefined) return this.options.storage;
    try {
      return globalThis.sessionStorage ?? null;
    } catch {
      return null; // forbidden to this page
    }
  }

  private remembered(): string | null {
    try {
      return this.storage?.getItem(this.key) ?? null;
    } catch {
      return null;
    }
  }

  private remember(cursor: string): void {
    this.stored = cursor;
    try {
      this.storage?.setItem(this.key, cursor);
    } catch {
      // Full or forbidden: a reload starts from the feed.
    }
  }
}

function scaled(speed: number): Timing {
  const entries = Object.entries(DEFAULT_TIMING).map(([name, span]: [string, number]) => [name, span / speed]);
  return Object.fromEntries(entries) as Timing;
}
