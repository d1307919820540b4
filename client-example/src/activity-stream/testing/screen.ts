// What a tab shows, and whether that is right: every activity once, in order, and none left out.
import { compareCursors } from '../cursor.ts';
import type { State } from '../state.ts';
import type { DeliveredEvent } from '../types.ts';
import type { Server } from './server.ts';

export class Screen {
  /** Of the last activity or gap that was shown; null before the feed was loaded. */
  private position: string | null = null;
  readonly shown: string[] = [];
  /** Milliseconds from publication to the screen. */
  worstAge = 0;
  resets = 0;
  private readonly healed = new Set<string>();
  private readVersion = 0;
  private readonly server: Server;

  constructor(server: Server) {
    this.server = server;
  }

  show(event: DeliveredEvent): void {
    switch (event.__typename) {
      case 'ActivityAdded':
        this.goOn(event.cursor);
        this.shown.push(event.cursor);
        this.worstAge = Math.max(this.worstAge, this.server.now - Date.parse(event.publishedAt));
        return;
      case 'FeedGap':
        this.goOn(event.through);
        return;
      case 'GapHealed': {
        const key = `${event.since}/${event.through}`;
        if (this.healed.has(key)) throw new Error(`DUPLICATE: ${key} was healed twice`);
        this.healed.add(key);
        return;
      }
      case 'ReadStateChanged':
        if (event.readState.version <= this.readVersion) throw new Error('READ STATE went back');
        this.readVersion = event.readState.version;
        return;
      case 'FeedReset':
        this.position = event.cursor;
        this.resets += 1;
    }
  }

  /** After every step: what the controller calls shown is shown. */
  check(state: State): void {
    if (state.cursor === null) return;
    this.position ??= state.cursor;
    this.noneBetween(this.position, state.cursor, true);
  }

  private goOn(cursor: string): void {
    if (this.position === null) throw new Error('shown before the feed was loaded');
    if (compareCursors(cursor, this.position) <= 0) throw new Error(`DUPLICATE: ${cursor}, at ${this.position} already`);
    this.noneBetween(this.position, cursor, false);
    this.position = cursor;
  }

  private noneBetween(after: string, to: string, inclusive: boolean): void {
    const { log } = this.server;
    for (let i = log.length - 1; i >= 0 && compareCursors(log[i]!.cursor, after) > 0; i--) {
      const entry = log[i]!;
      const order = compareCursors(entry.cursor, to);
      if (!entry.matches || entry.everDead || order > 0 || (order === 0 && !inclusive)) continue;
      throw new Error(`HOLE: ${entry.cursor} is missing between ${after} and ${to}`);
    }
  }
}
