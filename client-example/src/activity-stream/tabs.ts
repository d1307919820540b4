// One tab leads and shares what it hears: HTTP/1.1 gives a browser six connections to a host, and each stream takes one.
import type { TabMessage } from './messages.ts';

export interface Tabs {
  /** Whether at most one tab leads. False without Web Locks (plain HTTP has none): then every tab is its own leader. */
  readonly exclusive: boolean;
  tell(message: TabMessage): void;
  setVisible(visible: boolean): void;
  /** The page is put aside (frozen, or into the back-forward cache): let another tab lead. */
  release(): void;
  /** It is back. */
  request(): void;
  close(): void;
}

/** What is needed of Web Locks. */
type Locks = Pick<LockManager, 'request'>;

interface Listener {
  onLeader: (leader: boolean) => void;
  onMessage: (message: TabMessage) => void;
}

/** Between tabs, beside what the controllers tell each other: a hidden leader gives way to a tab that is looked at. */
type Election = { kind: 'wanted' } | { kind: 'leaderHidden' };

/** `name`: the same for tabs that share; different for another user, filter or endpoint. */
export function joinTabs(name: string, listener: Listener, locks: Locks | null | undefined = globalThis.navigator?.locks): Tabs {
  if (!locks || typeof BroadcastChannel === 'undefined') return alone(listener, false);
  return new SharedTabs(name, locks, listener);
}

/** A tab without others: it leads. */
export function alone({ onLeader }: Pick<Listener, 'onLeader'>, exclusive: boolean): Tabs {
  const lead = () => queueMicrotask(() => onLeader(true));
  lead();
  return { exclusive, tell() {}, setVisible() {}, release: () => onLeader(false), request: lead, close() {} };
}

class SharedTabs implements Tabs {
  readonly exclusive = true;
  private readonly channel: BroadcastChannel;
  private visible = false;
  /** Ends our turn, while we lead. */
  private finish: (() => void) | null = null;
  /** Ends our waiting for a turn. */
  private waiting: AbortController | null = null;

  private readonly name: string;
  private readonly locks: Locks;
  private readonly listener: Listener;

  constructor(name: string, locks: Locks, listener: Listener) {
    this.name = name;
    this.locks = locks;
    this.listener = listener;
    this.channel = new BroadcastChannel(name);
    this.channel.onmessage = ({ data }: MessageEvent<TabMessage | Election>) => this.hear(data);
    this.request();
  }

  tell(message: TabMessage): void {
    this.channel.postMessage(message);
  }

  setVisible(visible: boolean): void {
    this.visible = visible;
    if (visible && this.finish === null) this.post({ kind: 'wanted' });
    if (!visible && this.finish !== null) this.post({ kind: 'leaderHidden' });
  }

  request(): void {
    if (this.waiting !== null || this.finish !== null) return;
    const waiting = (this.waiting = new AbortController());
    const turn = () =>
      new Promise<void>((resolve) => {
        this.waiting = null;
        this.finish = resolve;
        this.listener.onLeader(true);
        if (!this.visible) this.post({ kind: 'leaderHidden' });
      });
    // Rejects when the waiting is ended, and in a browser that forbids locks: then this tab leads by itself.
    this.locks.request(this.name, { signal: waiting.signal }, turn).catch(() => {
      if (!waiting.signal.aborted) this.listener.onLeader(true);
    });
  }

  release(): void {
    this.waiting?.abort();
    this.waiting = null;
    if (this.finish === null) return;
    const finish = this.finish;
    this.finish = null;
    this.listener.onLeader(false);
    finish();
  }

  close(): void {
    this.release();
    this.channel.close();
  }

  private hear(message: TabMessage | Election): void {
    switch (message.kind) {
      case 'wanted':
        if (this.finish === null || this.visible) return;
        this.release();
        return this.request(); // behind the tab that wants it
      case 'leaderHidden':
        if (this.visible && this.finish === null) this.post({ kind: 'wanted' });
        return;
      default:
        this.listener.onMessage(message);
    }
  }

  private post(message: Election): void {
    this.channel.postMessage(message);
  }
}
